//! The worker's end of the protocol: messages in, events out, one run at a time.
//!
//! A message cancels the run that is on and is taken up as soon as that run has let go of the session (within
//! one item); a transfer that it waits for is broken off. A message that turns out to be wrong costs nothing: the
//! interrupted run starts again. `ping` is answered at once, also while a run is on: it tells a busy engine from a
//! dead one.

use crate::pace::Pace;
use crate::session::protocol::{Event, Numbered, Request};
use crate::session::{Desk, Help, Helper, Library, Next, Session, compare};
use crate::session::{at_hand, forget, take_over};
use crate::weights::Bytes;
use serde::Serialize;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

/// What the message handler and the driver share.
#[derive(Default)]
struct Inbox {
    requests: VecDeque<(u64, Request)>,
    wake: Option<futures_channel::oneshot::Sender<()>>,
    pace: Pace,
    /// Shared with the session.
    library: Option<Library>,
    desk: Rc<RefCell<Option<Desk>>>,
    help: Help,
}

/// Listens to the page. Returns at once; the rest happens in callbacks.
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        post_failure(&info.to_string());
    }));
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let inbox = Rc::new(RefCell::new(Inbox::default()));
    let receiver = inbox.clone();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        match read(event.data()) {
            Ok((_, Request::Ping)) => post(Event::Pong),
            Ok((answers, Request::Preview { name, value })) => {
                let desk = receiver.borrow().desk.clone();
                // Another model may be on its way; and a value that cannot be is told when it is set.
                let cost = desk.borrow().as_ref().and_then(|d| d.cost(&name, &value).ok());
                cost.into_iter().for_each(|cost| post(Event::Cost { answers, cost }));
            }
            Ok((answers, Request::Compare { evaluation, first, second })) => {
                let found = compare(&evaluation, &first, &second);
                let problem = found.as_ref().err().map(|e| e.to_string());
                let quality = found.unwrap_or_default();
                post(Event::Compared { answers, quality, problem });
            }
            Ok((_, Request::Scored { call, scored })) => {
                receiver.borrow().help.put(call, *scored);
            }
            Ok((id, request)) => receiver.borrow_mut().put(id, request),
            Err(e) => post_failure(&format!("A message of the page was not understood: {e}")),
        }
    });
    // As a listener, so that messages which the start-up script kept can be handed over as events.
    let listen =
        scope.add_event_listener_with_callback("message", on_message.as_ref().unchecked_ref());
    if listen.is_err() {
        post_failure("The worker cannot listen to messages.");
    }
    on_message.forget();
    wasm_bindgen_futures::spawn_local(drive(inbox));
}

fn read(data: JsValue) -> Result<(u64, Request), String> {
    let opened = opened(&data);
    take_gift(&data);
    let numbered = serde_wasm_bindgen::from_value(data.clone());
    let Numbered { id } = numbered.map_err(|e| e.to_string())?;
    let mut request = serde_wasm_bindgen::from_value(data).map_err(|e| e.to_string())?;
    if let Request::Open { files, .. } = &mut request {
        for (file, blob) in files.iter_mut().zip(opened) {
            file.bytes = blob.map_or_else(|| std::mem::take(&mut file.bytes), Bytes::Opened);
        }
    }
    Ok((id, request))
}

/// Beside a call for help lie the module of the engine that asks and the files it has transferred: a helper needs both,
/// and a host that lets nothing be kept would send them again. `worker-start.js` takes the module.
fn put_gift(call: &JsValue) {
    let set = |key: &str, value: &JsValue| js_sys::Reflect::set(call, &key.into(), value);
    // What is not there is loaded.
    let _ = (set("module", &wasm_bindgen::module()), set("bundled", &at_hand()));
}

/// Takes the files out of a message.
fn take_gift(data: &JsValue) {
    let key = "bundled".into();
    let files = js_sys::Reflect::get(data, &key).unwrap_or_default();
    if let Some(files) = files.dyn_ref::<js_sys::Map>() {
        take_over(files);
        let message: &js_sys::Object = data.unchecked_ref();
        for key in [&key, &"module".into()] {
            // They are no part of the request; left in, they would only be read over.
            let _ = js_sys::Reflect::delete_property(message, key);
        }
    }
}

/// The files that stay with the browser, taken out of the message: serde knows no such thing.
fn opened(data: &JsValue) -> Vec<Option<web_sys::Blob>> {
    let get =
        |from: &JsValue, key: &str| js_sys::Reflect::get(from, &key.into()).unwrap_or_default();
    let files = js_sys::Array::from(&match get(data, "files") {
        files if files.is_object() => files,
        _ => js_sys::Array::new().into(),
    });
    let take = |file: JsValue| {
        let blob: web_sys::Blob = get(&file, "bytes").dyn_into().ok()?;
        let empty = js_sys::Uint8Array::new_with_length(0);
        // A message of structured clone can always be written to.
        let _ = js_sys::Reflect::set(&file, &"bytes".into(), &empty);
        Some(blob)
    };
    files.iter().map(take).collect()
}

impl Inbox {
    fn put(&mut self, id: u64, request: Request) {
        self.pace.cancel();
        self.library.iter().for_each(Library::abort);
        self.requests.push_back((id, request));
        if let Some(wake) = self.wake.take() {
            // The driver may be gone only when the worker is.
            let _ = wake.send(());
        }
    }
}

async fn drive(inbox: Rc<RefCell<Inbox>>) {
    let mut session: Option<Session> = None;
    let mut helper: Option<Helper> = None;
    let mut interrupted = false;
    loop {
        let request = inbox.borrow_mut().requests.pop_front();
        let Some((id, request)) = request else {
            if let (true, Some(session)) = (interrupted, session.as_mut()) {
                let pace = Pace::default();
                inbox.borrow_mut().pace = pace.clone();
                session.run(&pace).await;
                interrupted = pace.is_cancelled();
                continue;
            }
            if let Some(session) = session.as_mut().filter(|session| session.is_asked()) {
                let pace = Pace::default();
                inbox.borrow_mut().pace = pace.clone();
                session.answer(&pace).await;
                continue;
            }
            if let Some(session) = session.as_mut().filter(|session| session.is_sweeping()) {
                let pace = Pace::default();
                inbox.borrow_mut().pace = pace.clone();
                session.step(&pace).await;
                continue;
            }
            let (wake, woken) = futures_channel::oneshot::channel();
            inbox.borrow_mut().wake = Some(wake);
            let _ = woken.await;
            continue;
        };
        if let Request::Assist(ask) = &request {
            let library = Library::new(ask.base.clone());
            // Not in the inbox: what it fetches for this run it needs for the next one too, so a cancel ends no transfer.
            let helper = helper.get_or_insert_with(|| Helper::new(library, Rc::new(post)));
            let pace = Pace::default();
            inbox.borrow_mut().pace = pace.clone();
            // The run meets the same and says it; nobody else needs to hear of it.
            let _ = helper.work(ask, &pace).await;
            continue;
        }
        if let Request::Hello { base, .. } = &request {
            let library = Library::new(base.clone());
            inbox.borrow_mut().library = Some(library.clone());
            let new = Session::new(library, post);
            inbox.borrow_mut().desk = new.desk();
            inbox.borrow_mut().help = new.help();
            session = Some(new);
        }
        let Some(session) = session.as_mut() else { continue };
        let cancels = matches!(request, Request::Cancel);
        interrupted = match session.handle(id, request) {
            Next::Run => true,
            Next::Nothing => interrupted && !cancels,
        };
    }
}

fn post(event: Event) {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    // Maps become plain objects, absent values null: what structured clone and the page expect.
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    let message = event.serialize(&serializer);
    match (&event, &message) {
        (Event::Assist { .. }, Ok(call)) => put_gift(call),
        (Event::Dismiss { .. }, _) => forget(),
        _ => {}
    }
    match message {
        Ok(value) if scope.post_message(&value).is_ok() => {}
        _ => post_failure("An event could not be sent."),
    }
}

/// Tells the page that the engine itself is broken.
fn post_failure(text: &str) {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let message = js_sys::Object::new();
    let set = |key: &str, value: &str| js_sys::Reflect::set(&message, &key.into(), &value.into());
    if set("type", "failed").is_ok() && set("text", text).is_ok() {
        // Nobody is left to be told when even this cannot be posted.
        let _ = scope.post_message(&message);
    }
}

/// Notes the memory that the browser refused: without it the engine ends in a trap that says nothing.
struct Noting;

static REFUSED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Noting = Noting;

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps alloc's contract, which is the same.
        noted(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { System.realloc(old, layout, size) }, size)
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

fn noted(memory: *mut u8, size: usize) -> *mut u8 {
    REFUSED.store(if memory.is_null() { size } else { 0 }, Ordering::Relaxed);
    memory
}

/// Bytes that the last allocation asked for and did not get; 0 where it got them. Asked by `worker-start.js` after a trap.
#[wasm_bindgen]
pub fn refused_bytes() -> usize {
    REFUSED.load(Ordering::Relaxed)
}

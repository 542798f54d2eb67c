//! The worker's end of the protocol: messages in, events out, one run at a time.
//!
//! A message cancels the run that is on and is taken up as soon as that run has let go of the session (within
//! one item). A message that turns out to be wrong costs nothing: the interrupted run starts again.

use crate::pace::Pace;
use crate::session::protocol::{Event, Numbered, Request};
use crate::session::{Library, Next, Session};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

/// What the message handler and the driver share.
#[derive(Default)]
struct Inbox {
    requests: VecDeque<(u64, Request)>,
    wake: Option<futures_channel::oneshot::Sender<()>>,
    pace: Pace,
}

/// Listens to the page. Returns at once; the rest happens in callbacks.
pub fn start() {
    console_error_panic_hook::set_once();
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let inbox = Rc::new(RefCell::new(Inbox::default()));
    let receiver = inbox.clone();
    let on_message =
        Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            match read(event.data()) {
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
    let numbered = serde_wasm_bindgen::from_value(data.clone());
    let Numbered { id } = numbered.map_err(|e| e.to_string())?;
    let request = serde_wasm_bindgen::from_value(data).map_err(|e| e.to_string())?;
    Ok((id, request))
}

impl Inbox {
    fn put(&mut self, id: u64, request: Request) {
        self.pace.cancel();
        self.requests.push_back((id, request));
        if let Some(wake) = self.wake.take() {
            // The driver may be gone only when the worker is.
            let _ = wake.send(());
        }
    }
}

async fn drive(inbox: Rc<RefCell<Inbox>>) {
    let mut session: Option<Session> = None;
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
            let (wake, woken) = futures_channel::oneshot::channel();
            inbox.borrow_mut().wake = Some(wake);
            let _ = woken.await;
            continue;
        };
        if let Request::Hello { base, .. } = &request {
            session = Some(Session::new(Library::new(base.clone()), post));
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
    match event.serialize(&serializer) {
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

//! The clock, and how long work stays polite: it yields to the event loop and learns that it was cancelled.

use crate::{Error, Result};
use std::cell::Cell;
use std::rc::Rc;

/// Work between two yields.
const SLICE_MS: f64 = 25.0;

/// Milliseconds since some fixed moment; never goes back.
pub fn now_ms() -> f64 {
    platform::now_ms()
}

/// Waits; the event loop runs meanwhile.
pub async fn sleep_ms(ms: u32) {
    platform::sleep_ms(ms).await;
}

/// Cancels the work that holds clones of it.
#[derive(Clone, Default)]
pub struct Pace {
    cancelled: Rc<Cell<bool>>,
    last: Rc<Cell<f64>>,
}

impl Pace {
    /// Every clone ends its work at its next [`Pace::breathe`].
    pub fn cancel(&self) {
        self.cancelled.set(true);
    }

    /// Whether somebody has called [`Pace::cancel`]; it stays so.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Called between small pieces of work. Yields at most every 25 ms, so that messages (a cancel among them)
    /// are heard while a long run is on.
    ///
    /// Errors: [`Error::Cancelled`] once the work is no longer wanted.
    pub async fn breathe(&self) -> Result<()> {
        if now_ms() - self.last.get() > SLICE_MS {
            sleep_ms(0).await;
            self.last.set(now_ms());
        }
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod platform {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub fn now_ms() -> f64 {
        START.elapsed().as_secs_f64() * 1e3
    }

    pub async fn sleep_ms(ms: u32) {
        // Nothing else runs on this thread natively; a zero sleep is no sleep.
        if ms > 0 {
            std::thread::sleep(Duration::from_millis(ms.into()));
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod platform {
    use js_sys::{Function, Promise, Reflect, global};
    use std::cell::RefCell;
    use std::rc::Rc;
    use wasm_bindgen::prelude::*;
    use web_sys::{MessageChannel, MessagePort, Performance};

    thread_local! {
        // Looked up once: work that breathes after every row of a matrix asks often.
        static CLOCK: Option<Performance> = member("performance").dyn_into().ok();
        static TURNS: Option<Turns> = Turns::new().ok();
    }

    fn member(name: &str) -> JsValue {
        Reflect::get(&global(), &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
    }

    pub fn now_ms() -> f64 {
        CLOCK.with(|clock| clock.as_ref().map_or_else(js_sys::Date::now, Performance::now))
    }

    /// For no time at all by a message to oneself: a timer inside a timer waits for 4 ms (HTML standard, "timer
    /// initialization steps"), which made up a tenth of a long run.
    pub async fn sleep_ms(ms: u32) {
        let promise = Promise::new(&mut |resolve, _| {
            let is_set = TURNS.with(|turns| match turns {
                Some(turns) if ms == 0 => turns.wake_next(&resolve),
                _ => set_timeout(&resolve, ms),
            });
            // What cannot be woken must not hang the run: resolve at once.
            if !is_set {
                drop(resolve.call0(&JsValue::UNDEFINED));
            }
        });
        // This promise is never rejected.
        let _ = wasm_bindgen_futures::JsFuture::from(promise).await;
    }

    /// Of whatever global there is (window or worker).
    fn set_timeout(resolve: &Function, ms: u32) -> bool {
        let set = member("setTimeout").dyn_into::<Function>();
        set.is_ok_and(|set| set.call2(&global(), resolve, &JsValue::from(ms)).is_ok())
    }

    /// Wakes sleepers in the next turn of the event loop.
    struct Turns {
        port: MessagePort,
        sleepers: Rc<RefCell<Vec<Function>>>,
    }

    impl Turns {
        fn new() -> Result<Turns, JsValue> {
            let channel = MessageChannel::new()?;
            let sleepers = Rc::new(RefCell::new(Vec::<Function>::new()));
            let woken = sleepers.clone();
            let wake = Closure::<dyn FnMut()>::new(move || {
                let awake = woken.take();
                awake.iter().for_each(|resolve| drop(resolve.call0(&JsValue::UNDEFINED)));
            });
            channel.port1().set_onmessage(Some(wake.as_ref().unchecked_ref()));
            wake.forget(); // there is one as long as the program runs
            Ok(Turns { port: channel.port2(), sleepers })
        }

        fn wake_next(&self, resolve: &Function) -> bool {
            self.sleepers.borrow_mut().push(resolve.clone());
            self.port.post_message(&JsValue::NULL).is_ok()
        }
    }
}

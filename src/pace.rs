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
    pub fn cancel(&self) {
        self.cancelled.set(true);
    }

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
    use wasm_bindgen::{JsCast, JsValue};

    fn member(object: &JsValue, name: &str) -> JsValue {
        Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
    }

    pub fn now_ms() -> f64 {
        let performance = member(&global(), "performance");
        let now = member(&performance, "now").dyn_into::<Function>();
        let value = now.and_then(|now| now.call0(&performance));
        value.ok().and_then(|v| v.as_f64()).unwrap_or_else(js_sys::Date::now)
    }

    /// Through setTimeout of whatever global there is (window or worker).
    pub async fn sleep_ms(ms: u32) {
        let scope: JsValue = global().into();
        let promise = Promise::new(&mut |resolve, _| {
            match member(&scope, "setTimeout").dyn_into::<Function>() {
                // A timer that cannot be set must not hang the run: resolve at once.
                Ok(set) if set.call2(&scope, &resolve, &JsValue::from(ms)).is_ok() => {}
                _ => drop(resolve.call0(&JsValue::UNDEFINED)),
            }
        });
        // This promise is never rejected.
        let _ = wasm_bindgen_futures::JsFuture::from(promise).await;
    }
}

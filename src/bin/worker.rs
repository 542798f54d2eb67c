//! The engine, in a dedicated worker of the page.

#[cfg(target_arch = "wasm32")]
fn main() {
    use wasm_bindgen::JsCast;
    console_error_panic_hook::set_once();
    let scope: web_sys::DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let sent = scope.post_message(&"The engine is ready.".into());
    sent.expect("a worker can post a string");
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("worker runs in a browser only; see `cargo xtask serve`");
}

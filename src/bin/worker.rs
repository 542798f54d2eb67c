//! The engine, in a dedicated worker of the page.

#[cfg(target_arch = "wasm32")]
fn main() {
    whittle::web::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("worker runs in a browser only; see `cargo xtask serve`");
}

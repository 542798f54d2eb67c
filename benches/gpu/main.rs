//! Measures a real GPU: `cargo xtask gpu` packs this program and runs it where the card is.
//!
//! `measure [--quick] [--seconds N] FILE` appends one JSON line a figure, so that what is known survives a crash;
//! `page OUT FILE...` writes the page from such lines. Without words it does nothing (`cargo bench`, `cargo test`).

#[cfg(not(target_arch = "wasm32"))]
mod kernels;
#[cfg(not(target_arch = "wasm32"))]
mod models;
#[cfg(not(target_arch = "wasm32"))]
mod packed;
#[cfg(not(target_arch = "wasm32"))]
mod page;
#[cfg(not(target_arch = "wasm32"))]
mod record;
#[cfg(not(target_arch = "wasm32"))]
mod shapes;

#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["measure", options @ .., file] => measure(options, file),
        ["page", out, files @ ..] => page::write(out, files),
        _ => println!("gpu measure [--quick] [--seconds N] FILE | gpu page OUT FILE..."),
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn measure(options: &[&str], file: &str) {
    let seconds = options.iter().find_map(|word| word.parse().ok()).unwrap_or(170.0);
    let device = match pollster::block_on(whittle::backend::Device::open_gpu()) {
        Ok(device) => device,
        Err(problem) => {
            eprintln!("no GPU: {problem}");
            std::process::exit(1);
        }
    };
    let quick = options.contains(&"--quick");
    let bench = record::Bench::new(device, quick, seconds, file);
    bench.line(serde_json::json!({
        "part": "card", "name": bench.gpu().label(), "quick": quick,
        "whittle": env!("CARGO_PKG_VERSION"),
    }));
    if !bench.gpu().is_software() {
        forms(&bench);
    }
    kernels::measure(&bench);
    packed::measure(&bench);
    models::measure(&bench);
    bench.line(serde_json::json!({ "part": "end", "seconds": bench.elapsed() }));
}

/// Takes the form of products that the probe finds, as every run does; all that follows is measured with it.
#[cfg(not(target_arch = "wasm32"))]
fn forms(bench: &record::Bench) {
    let whittle::backend::Device::Gpu(gpu) = &bench.device else { return };
    match pollster::block_on(whittle::kernels::matmul::probe(gpu)) {
        Ok(found) => {
            let taken = whittle::kernels::matmul::chosen(gpu);
            for timing in found {
                bench.line(serde_json::json!({
                    "part": "form", "form": timing.form, "ms": record::round(timing.ms),
                    "difference": record::round(f64::from(timing.difference)),
                    "taken": if timing.form == taken { "yes" } else { "" },
                }));
            }
        }
        Err(problem) => {
            bench.line(serde_json::json!({
                "part": "failed", "what": "probe of products", "why": problem.to_string(),
            }));
        }
    }
}

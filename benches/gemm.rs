//! Speed of the linear layer and of the fused head, natively: `cargo bench --bench gemm`.
//!
//! Prints one JSON line a measurement: median of the runs after a warm-up, GFLOP/s counts 2 * rows * outs * depth.
//! The adapter is the one wgpu finds; VK_DRIVER_FILES=/usr/lib/chromium/vk_swiftshader_icd.json gives SwiftShader.

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    native::main();
}

#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::time::Instant;
    use whittle::Rng;
    use whittle::backend::{Device, WeightValues};
    use whittle::kernels::lm_head_nll::lm_head_nll;
    use whittle::kernels::matmul::matmul;

    pub fn main() {
        measure(&Device::Cpu, 9);
        match pollster::block_on(Device::open_gpu()) {
            Ok(gpu) => measure(&gpu, 3),
            Err(e) => println!("no GPU: {e}"),
        }
    }

    fn measure(device: &Device, runs: usize) {
        for (rows, outs, depth) in [(256, 768, 768), (1, 2048, 2048)] {
            let mut rng = Rng::new(1);
            let x = device.tensor(rows, depth, &rng.normals(rows * depth, 1.0));
            let values = rng.normals(outs * depth, 1.0);
            let w = device.matrix(outs, depth, WeightValues::F32(&values));
            let ms = median(device, runs, || matmul(device, &x, &w, None, None));
            report(device, "matmul", (rows, outs, depth), ms);
        }
        let (rows, outs, depth) = (64, 4096, 256);
        let mut rng = Rng::new(2);
        let h = device.tensor(rows, depth, &rng.normals(rows * depth, 1.0));
        let values = rng.normals(outs * depth, 0.1);
        let table = device.matrix(outs, depth, WeightValues::F32(&values));
        let targets = device.ids(&vec![7; rows]);
        let ms = median(device, runs, || lm_head_nll(device, &h, &table, &targets));
        report(device, "lm_head_nll", (rows, outs, depth), ms);
    }

    fn report(device: &Device, kernel: &str, (rows, outs, depth): (usize, usize, usize), ms: f64) {
        let gflop_per_s = 2.0 * (rows * outs * depth) as f64 / ms / 1e6;
        let line = serde_json::json!({
            "kernel": kernel,
            "device": device.label(),
            "shape": format!("{rows}x{depth} by {outs}x{depth}"),
            "ms": ms,
            "gflop_per_s": gflop_per_s,
        });
        println!("{line}");
    }

    fn median<T>(device: &Device, runs: usize, mut run: impl FnMut() -> T) -> f64 {
        let mut times: Vec<f64> = (0..=runs)
            .map(|_| {
                let start = Instant::now();
                run();
                pollster::block_on(device.finish()).expect("the device works");
                start.elapsed().as_secs_f64() * 1e3
            })
            .skip(1)
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }
}

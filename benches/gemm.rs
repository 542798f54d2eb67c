//! Speed of the linear layer and of the fused head, natively: `cargo bench --bench gemm`.
//!
//! Prints one JSON line a measurement: median of the runs after a warm-up, GFLOP/s counts 2 * rows * outs * depth.
//! `cpu_ms` is the CPU time of this process a run (software adapters run inside it): on a busy machine it says more
//! than the wall clock. Linux only; elsewhere null.
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
            let cost = cost(device, runs, || matmul(device, &x, &w, None, None));
            report(device, "matmul", (rows, outs, depth), cost);
        }
        let (rows, outs, depth) = (64, 4096, 256);
        let mut rng = Rng::new(2);
        let h = device.tensor(rows, depth, &rng.normals(rows * depth, 1.0));
        let values = rng.normals(outs * depth, 0.1);
        let table = device.matrix(outs, depth, WeightValues::F32(&values));
        let targets = device.ids(&vec![7; rows]);
        let cost = cost(device, runs, || lm_head_nll(device, &h, &table, &targets));
        report(device, "lm_head_nll", (rows, outs, depth), cost);
    }

    struct Cost {
        ms: f64,
        cpu_ms: Option<f64>,
    }

    fn report(device: &Device, kernel: &str, (rows, outs, depth): (usize, usize, usize), c: Cost) {
        let line = serde_json::json!({
            "kernel": kernel,
            "device": device.label(),
            "shape": format!("{rows}x{depth} by {outs}x{depth}"),
            "ms": c.ms,
            "gflop_per_s": 2.0 * (rows * outs * depth) as f64 / c.ms / 1e6,
            "cpu_ms": c.cpu_ms,
        });
        println!("{line}");
    }

    /// One sample is as many runs as take about 50 ms.
    fn cost<T>(device: &Device, samples: usize, mut run: impl FnMut() -> T) -> Cost {
        let mut time = |repeats: usize| {
            let start = Instant::now();
            for _ in 0..repeats {
                run();
                pollster::block_on(device.finish()).expect("the device works");
            }
            start.elapsed().as_secs_f64() * 1e3 / repeats as f64
        };
        time(1);
        let repeats = (50.0 / time(1)).ceil().clamp(1.0, 1e4) as usize;
        let before = cpu_ms();
        let mut times: Vec<f64> = (0..samples).map(|_| time(repeats)).collect();
        let used = cpu_ms().zip(before).map(|(after, before)| after - before);
        times.sort_by(f64::total_cmp);
        let cpu_ms = used.map(|ms| ms / (samples * repeats) as f64);
        Cost { ms: times[samples / 2], cpu_ms }
    }

    /// User and system time of this process; the kernel counts in hundredths of a second.
    fn cpu_ms() -> Option<f64> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = stat.rsplit(") ").next()?.split(' ').skip(11);
        let mut ticks = || fields.next()?.parse::<f64>().ok();
        Some((ticks()? + ticks()?) * 10.0)
    }
}

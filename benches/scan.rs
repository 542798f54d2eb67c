//! Times the Mamba kernels; one JSON line a figure, then the ratio the issue asks for.
//!
//! `cargo bench --bench scan` (all), `-- gpu` or `-- cpu`. A figure is the least of several runs, with everything
//! that is to be compared taken in turns, so that a busy machine slows both alike.

#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{{\"loadavg\":\"{}\"}}", load.trim());
    let wanted = |part: &str| std::env::args().any(|a| a == part);
    if !wanted("gpu") {
        native::cpu();
    }
    if !wanted("cpu") {
        native::gpu();
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::hint::black_box;
    use std::time::Instant;
    use whittle::Rng;
    use whittle::backend::{Device, Tensor};
    use whittle::kernels::conv1d::conv1d_silu;
    use whittle::kernels::gated_rmsnorm::gated_rmsnorm;
    use whittle::kernels::selective_scan::{self, selective_scan, selective_scan_barrier};
    use whittle::kernels::silu_gate::silu_gate;
    use whittle::kernels::ssd::{self, Sizes, SsdForm, ssd_with};
    use whittle::kernels::{math, random, simd};

    /// The shape the issue names.
    const SCAN: (usize, usize, usize) = (256, 768, 16);

    /// Least milliseconds of `runs` calls of each body, taken in turns after one call to warm up.
    fn least_ms<const N: usize>(runs: usize, mut bodies: [&mut dyn FnMut(); N]) -> [f64; N] {
        let mut least = [f64::INFINITY; N];
        for run in 0..=runs {
            for (body, least) in bodies.iter_mut().zip(&mut least) {
                let start = Instant::now();
                body();
                let ms = start.elapsed().as_secs_f64() * 1e3;
                if run > 0 {
                    *least = least.min(ms);
                }
            }
        }
        least
    }

    fn report(device: &str, what: &str, ms: f64, items: usize) {
        let ns = ms * 1e6 / items as f64;
        println!(
            "{{\"device\":\"{device}\",\"what\":\"{what}\",\"ms\":{ms:.3},\"ns_per_token_channel\":{ns:.3}}}"
        );
    }

    fn finish(device: &Device) {
        pollster::block_on(device.finish()).expect("the device finishes");
    }

    fn mamba2(seq_len: usize) -> Sizes {
        Sizes { seq_len, n_head: 24, headdim: 64, n_groups: 1, d_state: 128 }
    }

    fn exponentials() {
        let x: Vec<f32> = Rng::new(1).normals(1 << 16, 1.0).iter().map(|v| -v.abs()).collect();
        let mut out = vec![0.0; x.len()];
        let mut other = out.clone();
        let mut ours =
            || simd::widest(|| out.iter_mut().zip(&x).for_each(|(o, x)| *o = math::exp(*x)));
        let mut libm = || other.iter_mut().zip(&x).for_each(|(o, x)| *o = x.exp());
        let [a, b] = least_ms(20, [&mut ours, &mut libm]);
        report("cpu", "exp, polynomial", a, x.len());
        report("cpu", "exp, std", b, x.len());
        black_box((out, other));
    }

    fn others(device: &Device, name: &str) {
        let (len, d) = (256, 1536);
        let mut rng = Rng::new(1);
        let mut tensor = |rows, cols| random(device, &mut rng, rows, cols);
        let (x, z, w) = (tensor(len, d), tensor(len, d), tensor(1, d));
        let (taps, past) = (tensor(d, 4), tensor(3, d));
        let mut conv = || {
            black_box(conv1d_silu(device, &x, &taps, Some(&w), &past));
            finish(device);
        };
        let mut gate = || {
            black_box(silu_gate(device, &x, &z));
            finish(device);
        };
        let mut norm = || {
            black_box(gated_rmsnorm(device, &x, &z, &w, 1e-5, d));
            finish(device);
        };
        let [a, b, c] = least_ms(7, [&mut conv, &mut gate, &mut norm]);
        report(name, "conv1d 256x1536, 4 taps", a, len * d);
        report(name, "silu_gate 256x1536", b, len * d);
        report(name, "gated_rmsnorm 256x1536", c, len * d);
    }

    fn ssd_forms(device: &Device, name: &str) {
        for len in [1, 4, 8, 16, 32, 64, 256] {
            let example = ssd::Example::new(device, 1, mamba2(len));
            let run = |form| -> (Tensor, Tensor) {
                let out = ssd_with(device, &example.ssd(), form);
                finish(device);
                out
            };
            let mut sequential = || drop(black_box(run(SsdForm::Sequential)));
            let mut chunked = || drop(black_box(run(SsdForm::Chunked)));
            let [a, b] = least_ms(5, [&mut sequential, &mut chunked]);
            report(name, &format!("ssd sequential {len}x24x64, 128 states"), a, len * 24 * 64);
            report(name, &format!("ssd chunked {len}x24x64, 128 states"), b, len * 24 * 64);
        }
    }

    pub fn cpu() {
        exponentials();
        let (len, d_inner, d_state) = SCAN;
        let example = selective_scan::Example::new(&Device::Cpu, 1, len, d_inner, d_state);
        let mut scan = || drop(black_box(selective_scan(&Device::Cpu, &example.scan())));
        let [ms] = least_ms(7, [&mut scan]);
        report("cpu", "selective_scan 256x768, 16 states", ms, len * d_inner);
        others(&Device::Cpu, "cpu");
        ssd_forms(&Device::Cpu, "cpu");
    }

    pub fn gpu() {
        let device = match pollster::block_on(Device::open_gpu()) {
            Ok(device) => device,
            Err(e) => return println!("{{\"skipped\":\"{e}\"}}"),
        };
        let name = device.label();
        let Device::Gpu(gpu) = &device else { unreachable!("open_gpu gives a GPU") };
        let (len, d_inner, d_state) = SCAN;
        let example = selective_scan::Example::new(&device, 1, len, d_inner, d_state);
        let mut registers = || {
            drop(black_box(selective_scan(&device, &example.scan())));
            finish(&device);
        };
        let mut barriers = || {
            drop(black_box(selective_scan_barrier(gpu, &example.scan())));
            finish(&device);
        };
        let [a, b] = least_ms(5, [&mut registers, &mut barriers]);
        report(&name, "selective_scan 256x768, 16 states", a, len * d_inner);
        report(&name, "selective_scan_barrier 256x768, 16 states", b, len * d_inner);
        others(&device, &name);
        ssd_forms(&device, &name);
        println!("{{\"device\":\"{name}\",\"barrier_over_registers\":{:.1}}}", b / a);
    }
}

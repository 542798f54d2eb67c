//! Milliseconds, bytes and operations of the main kernels at the shapes of real models.
//!
//! Bytes are the least that must move (every input read once, every output written once); operations are counted as
//! multiply and add. Weights walk through several copies of a matrix, so that none waits in a cache for its turn.

use super::record::{Bench, round};
use half::f16;
use serde_json::json;
use std::cell::Cell;
use whittle::Rng;
use whittle::backend::{Device, Matrix, Tensor, WeightValues};
use whittle::kernels::attention::{Attention, attention};
use whittle::kernels::conv1d::conv1d_silu;
use whittle::kernels::lm_head_nll::lm_head_nll;
use whittle::kernels::matmul::matmul;
use whittle::kernels::rmsnorm::rmsnorm;
use whittle::kernels::rows::copy;
use whittle::kernels::ssd::{Example as SsdExample, Sizes, SsdForm, ssd_with};
use whittle::kernels::{add::add, selective_scan};

/// Together more than the second-level cache of an H100 (50 MB).
const SET_BYTES: usize = 120 << 20;

pub fn measure(bench: &Bench) {
    let parts: [fn(&Bench); 5] = [memory, products, attentions, scans, head];
    for part in parts {
        if bench.is_late(0.4, "kernels") {
            return;
        }
        part(bench);
    }
}

/// One measured kernel.
fn report(bench: &Bench, kernel: &str, shape: String, [bytes, flops]: [usize; 2], ms: f64) {
    bench.line(json!({
        "part": "kernel", "kernel": kernel, "shape": shape, "ms": round(ms),
        "gb_per_s": round(bytes as f64 / ms / 1e6), "gflop_per_s": round(flops as f64 / ms / 1e6),
    }));
}

/// Values that are cheap to make and compress to nothing special.
pub fn values(n: usize) -> Vec<f32> {
    let mut rng = Rng::new(9);
    let block: Vec<f32> = (0..n.min(65_521)).map(|_| rng.uniform() - 0.5).collect();
    block.iter().copied().cycle().take(n).collect()
}

fn tensor(device: &Device, rows: usize, cols: usize) -> Tensor {
    device.tensor(rows, cols, &values(rows * cols))
}

pub fn matrices(bench: &Bench, outs: usize, depth: usize, half: bool) -> Vec<Matrix> {
    let bytes = outs * depth * if half { 2 } else { 4 };
    let copies = if bench.quick { 1 } else { SET_BYTES.div_ceil(bytes) };
    let floats = values(outs * depth);
    let halves: Vec<f16> = floats.iter().map(|x| f16::from_f32(*x)).collect();
    let values = if half { WeightValues::F16(&halves) } else { WeightValues::F32(&floats) };
    (0..copies).map(|_| bench.device.matrix(outs, depth, values)).collect()
}

/// What memory and a launch cost.
fn memory(bench: &Bench) {
    let d = &bench.device;
    let rows = if bench.quick { 64 } else { 16_384 };
    let (a, b) = (tensor(d, rows, 4096), tensor(d, rows, 4096));
    let n = rows * 4096;
    let ms = bench.device_ms(&mut || drop(copy(d, &a)));
    report(bench, "copy", format!("[{rows}, 4096]"), [8 * n, 0], ms);
    let ms = bench.device_ms(&mut || drop(add(d, &a, &b)));
    report(bench, "add", format!("[{rows}, 4096]"), [12 * n, n], ms);
    let w = tensor(d, 1, 4096);
    let ms = bench.device_ms(&mut || drop(rmsnorm(d, &a, &w, 1e-5)));
    report(bench, "rmsnorm", format!("[{rows}, 4096]"), [8 * n, 4 * n], ms);
    for cols in [768, 2048] {
        let (x, w) = (tensor(d, 1, cols), tensor(d, 1, cols));
        let ms = bench.device_ms(&mut || drop(rmsnorm(d, &x, &w, 1e-5)));
        report(bench, "rmsnorm", format!("[1, {cols}]"), [12 * cols, 4 * cols], ms);
    }
    let (x, y) = (tensor(d, 1, 64), tensor(d, 1, 64));
    let ms = bench.device_ms(&mut || drop(add(d, &x, &y)));
    report(bench, "a launch (add)", "[1, 64]".into(), [768, 64], ms);
}

fn products(bench: &Bench) {
    let shapes: &[(usize, usize, usize)] = match bench.quick {
        true => &[(1, 256, 128), (20, 256, 128)],
        false => &[
            (1, 3072, 768),
            (1, 8192, 2048),
            (1, 8192, 8192),
            (4, 8192, 2048),
            (5, 8192, 2048),
            (16, 8192, 2048),
            (512, 3072, 768),
            (512, 8192, 2048),
            (2048, 3072, 768),
            (2048, 8192, 2048),
            (2048, 2048, 8192),
        ],
    };
    for &(rows, outs, depth) in shapes {
        for half in [true, false] {
            let set = matrices(bench, outs, depth, half);
            let x = tensor(&bench.device, rows, depth);
            let next = Cell::new(0);
            let ms = bench.device_ms(&mut || {
                next.set((next.get() + 1) % set.len());
                drop(matmul(&bench.device, &x, &set[next.get()], None, None));
            });
            let weights = outs * depth * if half { 2 } else { 4 };
            let (bytes, flops) = (weights + 4 * rows * (depth + outs), 2 * rows * outs * depth);
            let kernel = if half { "matmul f16" } else { "matmul f32" };
            report(
                bench,
                kernel,
                format!("[{rows}, {depth}] x [{outs}, {depth}]"),
                [bytes, flops],
                ms,
            );
        }
    }
}

fn attentions(bench: &Bench) {
    let shapes: &[[usize; 5]] = match bench.quick {
        true => &[[1, 63, 3, 1, 64], [32, 0, 3, 1, 64]],
        // Queries, keys before them, heads, key heads, headdim: SmolLM2-135M and 1.7B.
        false => &[
            [1, 511, 9, 3, 64],
            [1, 2047, 9, 3, 64],
            [512, 0, 9, 3, 64],
            [2048, 0, 9, 3, 64],
            [1, 2047, 32, 32, 64],
            [2048, 0, 32, 32, 64],
        ],
    };
    for &[seq_len, n_past, n_head, n_kv_head, headdim] in shapes {
        let (d, keys) = (&bench.device, n_past + seq_len);
        let q = tensor(d, seq_len, n_head * headdim);
        let [k, v] = [0, 1].map(|_| tensor(d, keys, n_kv_head * headdim));
        let input = Attention {
            q: q.view(),
            k: k.view(),
            v: v.view(),
            n_head,
            n_kv_head,
            headdim,
            n_past,
            scale: 1.0 / (headdim as f32).sqrt(),
            bias: None,
        };
        let ms = bench.device_ms(&mut || drop(attention(d, &input)));
        let pairs = seq_len * n_past + seq_len * (seq_len + 1) / 2;
        let bytes = 8 * (seq_len * n_head + keys * n_kv_head) * headdim;
        let shape =
            format!("{seq_len} queries, {keys} keys, {n_head}/{n_kv_head} heads of {headdim}");
        report(bench, "attention", shape, [bytes, 4 * pairs * n_head * headdim], ms);
    }
}

fn scans(bench: &Bench) {
    let d = &bench.device;
    let lengths: &[usize] = if bench.quick { &[1, 40] } else { &[1, 512, 2048] };
    let (wide, heads) = if bench.quick { (128, 2) } else { (1536, 24) };
    for &len in lengths {
        let example = selective_scan::Example::new(d, 1, len, wide, 16);
        let ms = bench.device_ms(&mut || drop(selective_scan::selective_scan(d, &example.scan())));
        let work = [4 * (len * (4 * wide + 32) + 3 * wide * 16), 9 * len * wide * 16];
        report(bench, "selective_scan", format!("{len} tokens, {wide} channels of 16"), work, ms);
        let sizes = Sizes { seq_len: len, n_head: heads, headdim: 64, n_groups: 1, d_state: 128 };
        let example = SsdExample::new(d, 1, sizes);
        let work = [
            4 * (len * (2 * heads * 64 + heads + 256) + 2 * heads * 64 * 128),
            5 * len * heads * 64 * 128,
        ];
        let forms: &[SsdForm] = match len {
            0..64 => &[SsdForm::Sequential],
            _ => &[SsdForm::Sequential, SsdForm::Chunked],
        };
        for form in forms {
            let ms = bench.device_ms(&mut || drop(ssd_with(d, &example.ssd(), *form)));
            let shape = format!("{len} tokens, {heads} heads of 64 by 128");
            report(bench, &format!("ssd {form:?}"), shape, work, ms);
        }
        let channels = wide + 256;
        let (x, w) = (tensor(d, len, channels), tensor(d, channels, 4));
        let state = tensor(d, 3, channels);
        let ms = bench.device_ms(&mut || drop(conv1d_silu(d, &x, &w, None, &state)));
        let bytes = 4 * channels * (2 * len + 4 + 6);
        report(bench, "conv1d", format!("[{len}, {channels}]"), [bytes, 8 * len * channels], ms);
    }
}

fn head(bench: &Bench) {
    let (rows, vocab, width) = if bench.quick { (8, 500, 64) } else { (512, 50_280, 768) };
    let w = matrices(bench, vocab, width, true).swap_remove(0);
    let x = tensor(&bench.device, rows, width);
    let targets = bench.device.ids(&vec![7; rows]);
    let ms = bench.device_ms(&mut || drop(lm_head_nll(&bench.device, &x, &w, &targets)));
    let work = [2 * vocab * width + 4 * rows * width, 2 * rows * vocab * width];
    report(bench, "lm_head_nll", format!("[{rows}, {width}] x [{vocab}, {width}]"), work, ms);
}

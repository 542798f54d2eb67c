//! Products of one row with pruned weights in their packed forms, against the dense form of the same precision.

use super::kernels::values;
use super::record::{Bench, round};
use half::f16;
use serde_json::json;
use std::cell::Cell;
use whittle::backend::{Format, Matrix, WeightValues};
use whittle::kernels::matmul::matmul;

const SET_BYTES: usize = 120 << 20;

pub fn measure(bench: &Bench) {
    let shapes: &[(usize, usize)] = match bench.quick {
        true => &[(128, 128)],
        false => &[(3072, 768), (8192, 2048), (8192, 8192)],
    };
    for &(outs, depth) in shapes {
        if bench.is_late(0.5, "packed forms") {
            return;
        }
        for half in [true, false] {
            one_shape(bench, (outs, depth), half);
        }
    }
}

/// Which weights stay.
#[derive(Clone, Copy)]
enum Kept {
    All,
    TwoOfFour,
    Percent(usize),
}

fn one_shape(bench: &Bench, shape: (usize, usize), half: bool) {
    let kind = if half { "f16" } else { "f32" };
    let forms = [
        ("dense", Kept::All, None),
        ("2:4", Kept::TwoOfFour, Some(Format::TwoOfFour)),
        ("bitmask, half kept", Kept::Percent(50), Some(Format::Bitmask)),
        ("bitmask, 30 % kept", Kept::Percent(30), Some(Format::Bitmask)),
    ];
    let mut dense = f64::NAN;
    for (name, kept, format) in forms {
        let set = set(bench, shape, half, kept, format);
        let bytes = set[0].packed().map_or(set[0].bytes(), |packed| packed.bytes());
        let x = bench.device.tensor(1, shape.1, &values(shape.1));
        let next = Cell::new(0);
        let ms = bench.device_ms(&mut || {
            next.set((next.get() + 1) % set.len());
            drop(matmul(&bench.device, &x, &set[next.get()], None, None));
        });
        dense = if format.is_none() { ms } else { dense };
        bench.line(json!({
            "part": "packed", "form": format!("{name} {kind}"), "shape": format!("[{}, {}]", shape.0, shape.1),
            "ms": round(ms), "gb_per_s": round(bytes as f64 / ms / 1e6), "bytes": bytes,
            "times_as_fast_as_dense": round(dense / ms),
        }));
    }
}

fn set(
    bench: &Bench,
    (outs, depth): (usize, usize),
    half: bool,
    kept: Kept,
    format: Option<Format>,
) -> Vec<Matrix> {
    let mut floats = values(outs * depth);
    for (i, x) in floats.iter_mut().enumerate() {
        // Which of four stay turns with the row, as far as the loads can tell at random.
        let stays = match kept {
            Kept::All => true,
            Kept::TwoOfFour => (i + i / depth) % 4 < 2,
            Kept::Percent(share) => (i * 37 + i / depth * 11) % 100 < share,
        };
        *x = if stays { *x } else { 0.0 };
    }
    let halves: Vec<f16> = floats.iter().map(|x| f16::from_f32(*x)).collect();
    let values = if half { WeightValues::F16(&halves) } else { WeightValues::F32(&floats) };
    let bytes = outs * depth * if half { 2 } else { 4 };
    let copies = if bench.quick { 1 } else { SET_BYTES.div_ceil(bytes) };
    let make = |_| bench.device.matrix(outs, depth, values).pack_as(&bench.device, format, values);
    (0..copies).map(make).collect()
}

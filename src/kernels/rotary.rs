//! Rotary position embedding: pairs (i, i + rot/2) of every head are turned by the angle positions[t] * inv_freq[i].
//!
//! y[i] = x[i] cos - x[i + rot/2] sin;  y[i + rot/2] = x[i + rot/2] cos + x[i] sin;  i < rot/2 = inv_freq.cols().
//! Dimensions from rot on pass through.
//!
//! Shapes: x, y `[seq_len, n_head * headdim]`, positions `[seq_len]`, inv_freq `[1, rot/2]`. Source: Su et al. 2021,
//! equation 34, in the half-split pairing of GPT-NeoX and HF's Llama. As there, the angle is the f32 product and
//! its cos and sin are exact to rounding; on the GPU for angles below 2^24 (positions are at most 131,072). The shader
//! also does what `rotary_append` is for.

use super::cpu_gemm::Rows;
use super::rows::make_room;
use super::{Case, random, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor, View};
use crate::threads;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "rotary",
    source: &[wgsl!(include_str!("../../shaders/rotary.wgsl"))],
    reads: 3,
    writes: 3,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
    seq_width: u32,
    head_width: u32,
    headdim: u32,
    half_rot: u32,
    x_offset: u32,
    x_stride: u32,
    q: u32,
    kv: u32,
    n_past: u32,
}

/// How rows are turned.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// `[seq_len]`
    pub positions: &'a Ids,
    /// `[1, rot/2]`; absent where nothing is turned.
    pub inv_freq: Option<&'a Tensor>,
    /// Columns of a head.
    pub headdim: usize,
}

/// Turns every head of `x` `[seq_len, n_head * headdim]` by its position; `inv_freq` `[1, rot/2]` is not negative.
pub fn rotary<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    positions: &Ids,
    inv_freq: &Tensor,
    headdim: usize,
) -> Tensor {
    let x = x.into();
    assert_eq!(positions.len(), x.rows, "rotary positions");
    assert!(x.cols.is_multiple_of(headdim), "rotary: {} columns, headdim {headdim}", x.cols);
    assert!(2 * inv_freq.cols() <= headdim, "rotary: 2 * {} of {headdim}", inv_freq.cols());
    match device {
        Device::Cpu => {
            let y = on_cpu(Rows::of(x), positions.cpu(), inv_freq.cpu(), headdim);
            Tensor::on_cpu(x.rows, x.cols, y)
        }
        Device::Gpu(gpu) => {
            let turn = Turn { positions, inv_freq: Some(inv_freq), headdim };
            let [y, ..] = on_gpu(gpu, x, 0, turn, None);
            y
        }
    }
}

fn on_cpu(x: Rows<'_>, positions: &[u32], inv_freq: &[f32], headdim: usize) -> Vec<f32> {
    let half = inv_freq.len();
    threads::rows(x.rows, x.cols, |rows, y| {
        let (mut sin, mut cos) = (vec![0.0; half], vec![0.0; half]);
        for (t, y) in rows.zip(y.chunks_exact_mut(x.cols.max(1))) {
            for ((s, c), f) in sin.iter_mut().zip(&mut cos).zip(inv_freq) {
                (*s, *c) = (positions[t] as f32 * f).sin_cos();
            }
            for (head, y) in x.row(t).chunks_exact(headdim).zip(y.chunks_exact_mut(headdim)) {
                turn(head, (&sin, &cos), y);
            }
        }
    })
}

/// One head turned by the angles whose sines and cosines these are, `[rot/2]` each.
fn turn(x: &[f32], (sin, cos): (&[f32], &[f32]), y: &mut [f32]) {
    let (low, rest) = x.split_at(sin.len());
    let (high, passed) = rest.split_at(sin.len());
    let (y_low, rest) = y.split_at_mut(sin.len());
    let (y_high, y_passed) = rest.split_at_mut(sin.len());
    let pairs = || low.iter().zip(high).zip(sin.iter().zip(cos));
    y_low.iter_mut().zip(pairs()).for_each(|(y, ((u, v), (s, c)))| *y = u * c - v * s);
    y_high.iter_mut().zip(pairs()).for_each(|(y, ((u, v), (s, c)))| *y = v * c + u * s);
    y_passed.copy_from_slice(passed);
}

/// Of rows q | k | v that stand side by side, k and v of `kv` columns each (or none): q turned, and all keys and values,
/// those of `past` first.
pub(super) fn on_gpu(
    gpu: &Gpu,
    q: View<'_>,
    kv: usize,
    turn: Turn<'_>,
    past: Option<[Tensor; 2]>,
) -> [Tensor; 3] {
    let half_rot = turn.inv_freq.map_or(0, Tensor::cols);
    let head_width = turn.headdim - half_rot;
    let seq_width = (q.cols + 2 * kv) / turn.headdim * head_width;
    let n_past = past.as_ref().map_or(0, |[keys, _]| keys.rows());
    let (n, rows) = (q.rows * seq_width, n_past + q.rows);
    let params = Params {
        n: n as u32,
        seq_width: seq_width as u32,
        head_width: head_width as u32,
        headdim: turn.headdim as u32,
        half_rot: half_rot as u32,
        x_offset: q.offset() as u32,
        x_stride: q.stride() as u32,
        q: q.cols as u32,
        kv: kv as u32,
        n_past: n_past as u32,
    };
    let y = gpu.alloc(q.rows * q.cols * 4);
    let [keys, values] = match past {
        Some(past) => past.map(|x| make_room(gpu, x, rows)),
        None => [(); 2].map(|()| gpu.alloc(rows * kv * 4)),
    };
    let x = q.tensor.gpu();
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[x, turn.positions.gpu(), turn.inv_freq.map_or(x, Tensor::gpu)],
        writes: &[&y, &keys, &values],
        groups: spread(n.div_ceil(64)),
    });
    let kept = |buffer| Tensor::on_gpu(rows, kv, buffer);
    [Tensor::on_gpu(q.rows, q.cols, y), kept(keys), kept(values)]
}

/// inv_freq of `rot` dimensions at base 10,000.
pub(super) fn frequencies(rot: usize) -> Vec<f32> {
    (0..rot / 2).map(|i| 1.0 / 10_000f32.powf(2.0 * i as f32 / rot as f32)).collect()
}

/// (seq_len, n_head, headdim, rot): one pair, around a workgroup of 64 pairs, partial and odd; positions to 131,071.
pub fn cases() -> Vec<Case> {
    let shapes = [
        (1, 1, 2, 2),
        (1, 1, 126, 126),
        (2, 1, 64, 64),
        (1, 5, 26, 26),
        (5, 3, 64, 16),
        (7, 2, 33, 32),
    ];
    let case = |(seq_len, n_head, headdim, rot): (usize, usize, usize, usize)| Case {
        name: format!("rotary {seq_len}x{n_head}x{headdim} of {rot}"),
        tolerance: 2e-6,
        why: "sin and cos to about 1e-7 times values up to 4, whatever the position",
        run: Box::new(move |device| {
            let mut rng = Rng::new(61);
            let x = random(device, &mut rng, seq_len, n_head * headdim + 3);
            let view = x.columns(2, n_head * headdim);
            let inv_freq = device.tensor(1, rot / 2, &frequencies(rot));
            let mut run = |limit: usize| {
                let at: Vec<u32> = (0..seq_len).map(|_| rng.below(limit) as u32).collect();
                rotary(device, view, &device.ids(&at), &inv_freq, headdim)
            };
            vec![run(2), run(2048), run(131_072)]
        }),
    };
    shapes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotary_equals_its_equation_in_f64() {
        let device = Device::Cpu;
        let (headdim, n_head) = (7, 2);
        let (x, inv_freq) = (Rng::new(6).normals(3 * 14, 1.0), frequencies(4));
        let at = [0u32, 5, 131_071];
        let input = device.tensor(3, 14, &x);
        let y = rotary(&device, &input, &device.ids(&at), &device.tensor(1, 2, &inv_freq), headdim);
        for (t, &position) in at.iter().enumerate() {
            for head in 0..n_head {
                let base = t * 14 + head * headdim;
                let mut expected: Vec<f64> = x[base..base + 7].iter().map(|&v| v as f64).collect();
                for i in 0..2 {
                    let angle = (position as f32 * inv_freq[i]) as f64;
                    let (u, v) = (x[base + i] as f64, x[base + i + 2] as f64);
                    expected[i] = u * angle.cos() - v * angle.sin();
                    expected[i + 2] = v * angle.cos() + u * angle.sin();
                }
                for (i, e) in expected.iter().enumerate() {
                    assert!((y.cpu()[base + i] as f64 - e).abs() <= 5e-7, "[{t}, {head}, {i}]");
                }
            }
        }
    }

    #[test]
    fn position_0_is_the_identity() {
        let device = Device::Cpu;
        let x = random(&device, &mut Rng::new(7), 1, 12);
        let inv_freq = device.tensor(1, 2, &frequencies(4));
        let y = rotary(&device, &x, &device.ids(&[0]), &inv_freq, 6);
        assert_eq!(y.cpu(), x.cpu());
    }
}

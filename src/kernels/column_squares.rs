//! Running column sums of squares: s'[j] = s[j] + sum_t x[t, j]^2.
//!
//! Shapes: x `[seq_len, d]`, s `[1, d]`. Wanda's activation norm is the square root (Sun et al. 2023, equation 1).

use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "column_squares",
    source: &[wgsl!(include_str!("../../shaders/column_squares.wgsl"))],
    reads: 2,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    x_offset: u32,
    x_stride: u32,
}

/// Adds the squares of every column of `x` to `sum` `[1, d]`.
pub fn column_squares<'a>(device: &Device, x: impl Into<View<'a>>, sum: &Tensor) -> Tensor {
    let x = x.into();
    assert_eq!(sum.cols(), x.cols, "column_squares sum");
    match device {
        Device::Cpu => {
            let mut total = sum.cpu().to_vec();
            for t in 0..x.rows {
                for (s, v) in total.iter_mut().zip(x.cpu_row(t)) {
                    *s += v * v;
                }
            }
            Tensor::on_cpu(1, x.cols, total)
        }
        Device::Gpu(gpu) => {
            let y = gpu.alloc(x.cols * 4);
            let params = Params {
                rows: x.rows as u32,
                cols: x.cols as u32,
                x_offset: x.offset() as u32,
                x_stride: x.stride() as u32,
            };
            gpu.dispatch(&Dispatch {
                shader: &SHADER,
                entry: "main",
                constants: &[],
                params: bytemuck::bytes_of(&params),
                reads: &[x.tensor.gpu(), sum.gpu()],
                writes: &[&y],
                groups: [groups(x.cols, 64), 1, 1],
            });
            Tensor::on_gpu(1, x.cols, y)
        }
    }
}

/// Around the tile of 64 columns; the last case is a view.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1, 0), (9, 63, 0), (5, 64, 0), (70, 65, 0), (4, 30, 7)];
    sizes
        .into_iter()
        .map(|(rows, cols, from)| Case {
            name: format!("column_squares {rows}x{cols} from column {from}"),
            tolerance: 1e-5,
            why: "the same order of additions; only fused multiply-adds differ",
            run: Box::new(move |device| {
                let mut rng = Rng::new(4);
                let x = random(device, &mut rng, rows, from + cols);
                let s = random(device, &mut rng, 1, cols);
                vec![column_squares(device, x.columns(from, cols), &s)]
            }),
        })
        .collect()
}

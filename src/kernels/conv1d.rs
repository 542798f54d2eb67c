//! Causal depthwise convolution, then SiLU: y[t, c] = silu(bias[c] + sum_j weight[c, j] * x[t - (k-1) + j, c]).
//!
//! Shapes: x, y `[seq_len, channels]`, weight `[channels, k]`, bias `[1, channels]`. Rows before the chunk come from
//! the state `[k - 1, channels]`: the last k - 1 raw inputs, oldest first; zeros at the start of a text.
//! Source: Gu & Dao 2023, section 3.4 and figure 3; the last tap meets the current token.

use super::cpu_gemm::Rows;
use super::each_row::each_row;
use super::{Case, groups, math, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "conv1d",
    source: &[wgsl!(include_str!("../../shaders/conv1d.wgsl"))],
    reads: 4,
    writes: 2,
};

/// Tokens of one lane; equals TOKENS in the shader.
const TOKENS: usize = 4;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    taps: u32,
    x_offset: u32,
    x_stride: u32,
    has_bias: u32,
}

/// Convolves every channel of `x` over time, then applies SiLU. Gives y and the state for the next chunk; k >= 2.
pub fn conv1d_silu<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    state: &Tensor,
) -> (Tensor, Tensor) {
    let x = x.into();
    let taps = weight.cols();
    assert_eq!(weight.rows(), x.cols, "conv1d weight");
    assert!(taps >= 2, "conv1d wants at least two taps");
    assert_eq!((state.rows(), state.cols()), (taps - 1, x.cols), "conv1d state");
    assert!(bias.is_none_or(|b| b.cols() == x.cols), "conv1d bias");
    match device {
        Device::Cpu => on_cpu(x, weight, bias, state),
        Device::Gpu(gpu) => on_gpu(gpu, x, weight, bias, state),
    }
}

fn on_cpu(x: View<'_>, weight: &Tensor, bias: Option<&Tensor>, state: &Tensor) -> (Tensor, Tensor) {
    let (taps, cols) = (weight.cols(), x.cols);
    let past = taps - 1;
    let (x, state, bias) = (Rows::of(x), state.cpu(), bias.map(Tensor::cpu));
    // Row i of the state followed by the chunk.
    let input = |i: usize| match i.checked_sub(past) {
        None => &state[i * cols..(i + 1) * cols],
        Some(t) => x.row(t),
    };
    let by_tap = transposed(weight.cpu(), cols, taps);
    let y = each_row(
        x.rows,
        cols,
        #[inline(always)]
        |t, row| {
            if let Some(bias) = bias {
                row.copy_from_slice(bias);
            }
            for (j, taps) in by_tap.chunks_exact(cols).enumerate() {
                let products = taps.iter().zip(input(t + j));
                for (y, (w, x)) in row.iter_mut().zip(products) {
                    *y += w * x;
                }
            }
            for y in row {
                *y = math::silu(*y);
            }
        },
    );
    let new_state = (x.rows..x.rows + past).flat_map(|i| input(i).iter().copied()).collect();
    (Tensor::on_cpu(x.rows, cols, y), Tensor::on_cpu(past, cols, new_state))
}

/// `[rows, cols]` to `[cols, rows]`.
fn transposed(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..cols).flat_map(|j| (0..rows).map(move |i| values[i * cols + j])).collect()
}

fn on_gpu(
    gpu: &Gpu,
    x: View<'_>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    state: &Tensor,
) -> (Tensor, Tensor) {
    let (taps, cols) = (weight.cols(), x.cols);
    let y = gpu.alloc(x.rows * cols * 4);
    let new_state = gpu.alloc((taps - 1) * cols * 4);
    let params = Params {
        rows: x.rows as u32,
        cols: cols as u32,
        taps: taps as u32,
        x_offset: x.offset() as u32,
        x_stride: x.stride() as u32,
        has_bias: bias.is_some().into(),
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[x.tensor.gpu(), weight.gpu(), bias.unwrap_or(weight).gpu(), state.gpu()],
        writes: &[&y, &new_state],
        groups: [groups(cols, 64), groups(x.rows + taps - 1, TOKENS), 1],
    });
    (Tensor::on_gpu(x.rows, cols, y), Tensor::on_gpu(taps - 1, cols, new_state))
}

/// One token, around the 64 lanes and 4 tokens of a workgroup, 2 to 5 taps, and a view.
pub fn cases() -> Vec<Case> {
    let why = "sums of up to 5 products and an exp within 2 + 2|x| ulp (WGSL)";
    let sizes =
        [(1, 1, 2), (1, 63, 4), (2, 64, 4), (3, 65, 4), (4, 66, 3), (5, 30, 4), (13, 130, 5)];
    let mut cases: Vec<Case> = sizes
        .into_iter()
        .map(|(rows, cols, taps)| Case {
            name: format!("conv1d {rows}x{cols} with {taps} taps"),
            tolerance: 1e-5,
            why,
            run: Box::new(move |device| {
                let mut rng = Rng::new(1);
                let x = random(device, &mut rng, rows, cols);
                let weight = random(device, &mut rng, cols, taps);
                let bias = random(device, &mut rng, 1, cols);
                let state = random(device, &mut rng, taps - 1, cols);
                let (y, state) = conv1d_silu(device, &x, &weight, Some(&bias), &state);
                vec![y, state]
            }),
        })
        .collect();
    cases.push(Case {
        name: "conv1d of columns 2..31 of 6x40 without bias".into(),
        tolerance: 1e-5,
        why,
        run: Box::new(|device| {
            let mut rng = Rng::new(2);
            let x = random(device, &mut rng, 6, 40);
            let weight = random(device, &mut rng, 29, 4);
            let state = random(device, &mut rng, 3, 29);
            let (y, state) = conv1d_silu(device, x.columns(2, 29), &weight, None, &state);
            vec![y, state]
        }),
    });
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::largest_difference;

    const ROWS: usize = 7;
    const COLS: usize = 5;
    const TAPS: usize = 4;

    struct Inputs {
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        state: Tensor,
    }

    fn inputs() -> Inputs {
        let mut rng = Rng::new(7);
        let mut tensor = |rows, cols| random(&Device::Cpu, &mut rng, rows, cols);
        Inputs {
            x: tensor(ROWS, COLS),
            weight: tensor(COLS, TAPS),
            bias: tensor(1, COLS),
            state: tensor(TAPS - 1, COLS),
        }
    }

    #[test]
    fn the_cpu_form_is_the_equation() {
        let i = inputs();
        let (y, state) = conv1d_silu(&Device::Cpu, &i.x, &i.weight, Some(&i.bias), &i.state);
        let padded = [i.state.cpu(), i.x.cpu()].concat();
        let mut expected = Vec::new();
        for t in 0..ROWS {
            for c in 0..COLS {
                let mut v = i.bias.cpu()[c] as f64;
                for j in 0..TAPS {
                    v += i.weight.cpu()[c * TAPS + j] as f64 * padded[(t + j) * COLS + c] as f64;
                }
                expected.push((v / (1.0 + (-v).exp())) as f32);
            }
        }
        assert!(largest_difference(y.cpu(), &expected) < 1e-6);
        assert_eq!(state.cpu(), &padded[ROWS * COLS..]);
    }

    #[test]
    fn every_split_with_carried_state_equals_the_whole_exactly() {
        let i = inputs();
        let d = Device::Cpu;
        let (whole, end) = conv1d_silu(&d, &i.x, &i.weight, Some(&i.bias), &i.state);
        for split in 1..ROWS {
            let (first, state) =
                conv1d_silu(&d, i.x.row_range(0, split), &i.weight, Some(&i.bias), &i.state);
            let rest = i.x.row_range(split, ROWS - split);
            let (second, state) = conv1d_silu(&d, rest, &i.weight, Some(&i.bias), &state);
            // The same products are added in the same order.
            assert_eq!([first.cpu(), second.cpu()].concat(), whole.cpu());
            assert_eq!(state.cpu(), end.cpu());
        }
    }
}

//! Moving rows: concatenation, gather, dense copy of a view.
//!
//! concat_rows: y = a's rows, then b's. gather_rows: y[i] = x[index[i]]. gather_ids: y[i] = ids[index[i]].
//! Nothing is computed, so that the GPU and the CPU agree to the bit.

use super::{Case, random, spread};
use crate::Rng;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "rows",
    source: &[wgsl!(include_str!("../../shaders/rows.wgsl"))],
    reads: 2,
    writes: 1,
};

/// Most bytes that memory which grows may have to spare.
const MOST_SPARE: usize = 4 << 20;

#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
struct Params {
    n: u32,
    cols: u32,
    split: u32,
    x_offset: u32,
    x_stride: u32,
    b_offset: u32,
    b_stride: u32,
}

/// The rows of `a` `[n, d]`, then those of `b` `[m, d]`: `[n + m, d]`. Neither may be empty.
pub fn concat_rows<'a>(device: &Device, a: impl Into<View<'a>>, b: impl Into<View<'a>>) -> Tensor {
    let (a, b) = (a.into(), b.into());
    assert_eq!(a.cols, b.cols, "concat_rows of two widths");
    assert!(a.rows > 0 && b.rows > 0, "concat_rows of {} and {} rows", a.rows, b.rows);
    let (rows, cols) = (a.rows + b.rows, a.cols);
    match device {
        Device::Cpu => {
            let mut y = Vec::with_capacity(rows * cols);
            append(&mut y, a);
            append(&mut y, b);
            Tensor::on_cpu(rows, cols, y)
        }
        Device::Gpu(gpu) => {
            let params = Params {
                split: a.rows as u32,
                b_offset: b.offset() as u32,
                b_stride: b.stride() as u32,
                ..params(rows, a)
            };
            let reads = [a.tensor.gpu(), b.tensor.gpu()];
            Tensor::on_gpu(rows, cols, launch(gpu, "concat", params, reads))
        }
    }
}

/// [`concat_rows`] for a tensor that grows: on the CPU, memory that nobody else holds is kept and extended, so that
/// adding a row costs a row and not a copy of all. A tensor that is shared is copied, and stays as it is.
pub fn append_rows<'a>(device: &Device, a: Tensor, b: impl Into<View<'a>>) -> Tensor {
    let b = b.into();
    match device {
        Device::Cpu => {
            assert_eq!(a.cols(), b.cols, "append_rows of two widths");
            a.extended((0..b.rows).map(|t| b.cpu_row(t)))
        }
        Device::Gpu(_) => concat_rows(device, &a, b),
    }
}

/// Rows `index[0], index[1], ...` of `x` `[n, d]`: `[index.len(), d]`. Every index is below n, `index` not empty.
pub fn gather_rows<'a>(device: &Device, x: impl Into<View<'a>>, index: &Ids) -> Tensor {
    let x = x.into();
    assert!(!index.is_empty(), "gather_rows of no rows");
    match device {
        Device::Cpu => {
            let mut y = Vec::with_capacity(index.len() * x.cols);
            for &i in index.cpu() {
                assert!((i as usize) < x.rows, "gather_rows: row {i} of {}", x.rows);
                y.extend_from_slice(x.cpu_row(i as usize));
            }
            Tensor::on_cpu(index.len(), x.cols, y)
        }
        Device::Gpu(gpu) => {
            let reads = [x.tensor.gpu(), index.gpu()];
            let y = launch(gpu, "gather", params(index.len(), x), reads);
            Tensor::on_gpu(index.len(), x.cols, y)
        }
    }
}

/// `ids[index[0]], ids[index[1]], ...`. Every index is below `ids.len()`, `index` not empty.
pub fn gather_ids(device: &Device, ids: &Ids, index: &Ids) -> Ids {
    assert!(!index.is_empty(), "gather_ids of no index");
    match device {
        Device::Cpu => {
            let from = ids.cpu();
            Ids::on_cpu(index.cpu().iter().map(|&i| from[i as usize]).collect())
        }
        Device::Gpu(gpu) => {
            let params = Params { n: index.len() as u32, cols: 1, ..Params::default() };
            let y = launch(gpu, "gather_ids", params, [ids.gpu(), index.gpu()]);
            Ids::on_gpu(index.len(), y)
        }
    }
}

/// A dense copy of a view.
pub fn copy<'a>(device: &Device, x: impl Into<View<'a>>) -> Tensor {
    let x = x.into();
    match device {
        Device::Cpu => {
            let mut y = Vec::with_capacity(x.rows * x.cols);
            append(&mut y, x);
            Tensor::on_cpu(x.rows, x.cols, y)
        }
        Device::Gpu(gpu) => {
            let buffer = x.tensor.gpu();
            Tensor::on_gpu(x.rows, x.cols, launch(gpu, "copy", params(x.rows, x), [buffer, buffer]))
        }
    }
}

fn append(y: &mut Vec<f32>, x: View<'_>) {
    for t in 0..x.rows {
        y.extend_from_slice(x.cpu_row(t));
    }
}

/// Parameters for an output of `rows` rows as wide as `x`.
fn params(rows: usize, x: View<'_>) -> Params {
    Params {
        n: (rows * x.cols) as u32,
        cols: x.cols as u32,
        x_offset: x.offset() as u32,
        x_stride: x.stride() as u32,
        ..Params::default()
    }
}

/// Memory that begins with `x` `[n, d]` and has room for `rows` rows: that of `x` where it reaches so far and nobody else
/// holds it, else twice as much as is needed ([`MOST_SPARE`] at most), so that most rows that follow are not moved again.
pub(super) fn make_room(gpu: &Gpu, x: Tensor, rows: usize) -> Buffer {
    let bytes = rows * x.cols() * 4;
    if x.gpu().is_alone_with(bytes) {
        return x.gpu().clone();
    }
    let most = gpu.binding_limit() as usize;
    let y = gpu.alloc((bytes + bytes.min(MOST_SPARE)).min(most).max(bytes));
    launch_into(gpu, "copy", params(x.rows(), x.view()), [x.gpu(), x.gpu()], &y);
    y
}

fn launch(gpu: &Gpu, entry: &'static str, params: Params, reads: [&Buffer; 2]) -> Buffer {
    let y = gpu.alloc(params.n as usize * 4);
    launch_into(gpu, entry, params, reads, &y);
    y
}

fn launch_into(gpu: &Gpu, entry: &'static str, params: Params, reads: [&Buffer; 2], y: &Buffer) {
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry,
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &reads,
        writes: &[y],
        groups: spread((params.n as usize).div_ceil(256)),
    });
}

/// Row numbers below `rows` as floats `[ids, 1]`, so that cases can compare them.
pub(super) fn numbers(device: &Device, ids: &Ids, rows: usize) -> Tensor {
    let ramp: Vec<f32> = (0..rows).map(|row| row as f32).collect();
    gather_rows(device, &device.tensor(rows, 1, &ramp), ids)
}

/// One element, around a workgroup of 256, a shape that divides nothing, views. Ids are seen through `gather_rows`.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (5, 51), (2, 128), (1, 257), (7, 130)];
    let case = |(rows, cols): (usize, usize)| Case {
        name: format!("rows {rows}x{cols}"),
        tolerance: 0.0,
        why: "values are moved, not computed",
        run: Box::new(move |device| {
            let mut rng = Rng::new(51);
            let x = random(device, &mut rng, rows, cols + 5);
            let b = random(device, &mut rng, 3, cols);
            let mut below = |n| (0..n).map(|_| rng.below(rows) as u32).collect::<Vec<_>>();
            let index = device.ids(&below(rows + 2));
            let ids = device.ids(&below(rows));
            vec![
                concat_rows(device, x.columns(4, cols), &b),
                concat_rows(device, &b, x.columns(1, cols)),
                gather_rows(device, x.columns(4, cols), &index),
                gather_rows(device, &x, &gather_ids(device, &ids, &index)),
                copy(device, x.columns(4, cols)),
                copy(device, x.row_range(rows - 1, 1)),
            ]
        }),
    };
    sizes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_moved_as_named() {
        let device = Device::Cpu;
        let x = device.tensor(3, 3, &[0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 20.0, 21.0, 22.0]);
        let b = device.tensor(1, 2, &[7.0, 8.0]);
        let joined = concat_rows(&device, x.columns(1, 2), &b);
        assert_eq!(joined.cpu(), [1.0, 2.0, 11.0, 12.0, 21.0, 22.0, 7.0, 8.0]);
        let index = device.ids(&[2, 0, 2]);
        let picked = gather_rows(&device, x.columns(0, 2), &index);
        assert_eq!(picked.cpu(), [20.0, 21.0, 0.0, 1.0, 20.0, 21.0]);
        assert_eq!(gather_ids(&device, &device.ids(&[5, 6, 9]), &index).cpu(), [9, 5, 9]);
        assert_eq!(copy(&device, x.columns(2, 1)).cpu(), [2.0, 12.0, 22.0]);
    }

    fn b3(device: &Device) -> Tensor {
        device.tensor(1, 3, &[7.0; 3])
    }

    #[test]
    fn a_tensor_grows_in_place_and_a_fork_of_it_stays_as_it_was() {
        let device = Device::Cpu;
        let row = b3(&device);
        let mut grown = device.tensor(1, 3, &[1.0, 2.0, 3.0]);
        let mut moves = 0;
        for _ in 0..1000 {
            let before = grown.cpu().as_ptr();
            grown = append_rows(&device, grown, &row);
            moves += usize::from(before != grown.cpu().as_ptr());
        }
        // Twice the memory each time it is full: 1, 2, 4 .. 1024 rows.
        assert!(moves <= 12, "moved {moves} times");
        let fork = grown.clone();
        let grown = append_rows(&device, grown, &device.tensor(1, 3, &[9.0; 3]));
        assert_eq!((fork.rows(), grown.rows()), (1001, 1002));
        assert_eq!(fork.cpu(), &grown.cpu()[..3003]);
        assert_eq!(&grown.cpu()[3003..], [9.0; 3]);
    }

    #[test]
    #[should_panic(expected = "row 3 of 3")]
    fn a_row_that_is_not_there_is_refused() {
        let device = Device::Cpu;
        gather_rows(&device, &device.zeros(3, 2), &device.ids(&[3]));
    }
}

//! Embedding: y[t, j] = table[ids[t], j].
//!
//! Shapes: ids `[seq_len]`, table `[vocab_size, d_model]` (f32 or f16), y `[seq_len, d_model]`. The caller has
//! validated the ids; the shader clamps them, so that a wrong one cannot read outside the table.

use super::matmul::parts;
use super::matmul::weight_constants;
use super::{Case, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Matrix, MatrixData, Tensor, WeightValues};
use bytemuck::{Pod, Zeroable};
use half::f16;

static SHADER: Shader = Shader {
    name: "embedding",
    source: &[parts::WEIGHTS, wgsl!(include_str!("../../shaders/embedding.wgsl"))],
    reads: 2,
    writes: 1,
};

/// Values one invocation copies.
const VALUES: usize = 8;
const WORKGROUP: usize = 64;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    vocab: u32,
    w_stride: u32,
    groups: u32,
    groups_x: u32,
}

/// Rows `ids` `[seq_len]` of `table` `[vocab_size, d_model]`.
pub fn embedding(device: &Device, ids: &Ids, table: &Matrix) -> Tensor {
    let (rows, cols) = (ids.len(), table.cols());
    match (device, table.data()) {
        (Device::Cpu, MatrixData::Cpu(host)) => {
            let mut y = vec![0.0; rows * cols];
            for (to, &id) in y.chunks_mut(cols.max(1)).zip(ids.cpu()) {
                host.copy_row(id as usize, to);
            }
            Tensor::on_cpu(rows, cols, y)
        }
        (Device::Gpu(gpu), _) => on_gpu(gpu, ids, table),
        _ => panic!("embedding: the table is on another device"),
    }
}

fn on_gpu(gpu: &Gpu, ids: &Ids, table: &Matrix) -> Tensor {
    let (rows, cols) = (ids.len(), table.cols());
    let y = gpu.alloc(rows * cols * 4);
    let n = (rows * cols.div_ceil(VALUES)).div_ceil(WORKGROUP);
    let groups = spread(n.max(1));
    let params = Params {
        rows: rows as u32,
        cols: cols as u32,
        vocab: table.rows() as u32,
        w_stride: table.row_stride() as u32,
        groups: n as u32,
        groups_x: groups[0],
    };
    let (weights, f16) = weight_constants(table);
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[f16],
        params: bytemuck::bytes_of(&params),
        reads: &[weights, ids.gpu()],
        writes: &[&y],
        groups,
    });
    Tensor::on_gpu(rows, cols, y)
}

/// Sizes 1, around the eight values of an invocation, and one that divides nothing; f32 and f16 tables.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, vocab, cols) in [(1, 1, 1), (3, 5, 7), (8, 9, 8), (67, 50, 9), (5, 301, 130)] {
        for half in [false, true] {
            let kind = if half { "f16" } else { "f32" };
            cases.push(Case {
                name: format!("embedding of {rows} from {kind} {vocab}x{cols}"),
                tolerance: 0.0,
                why: "values are copied",
                run: Box::new(move |device| {
                    let mut rng = Rng::new(3);
                    let ids: Vec<u32> = (0..rows).map(|_| rng.below(vocab) as u32).collect();
                    let table = random_matrix(device, &mut rng, vocab, cols, half);
                    vec![embedding(device, &device.ids(&ids), &table)]
                }),
            });
        }
    }
    cases
}

/// A random matrix of f32 or of f16, for cases.
pub(super) fn random_matrix(
    device: &Device,
    rng: &mut Rng,
    rows: usize,
    cols: usize,
    half: bool,
) -> Matrix {
    let values = rng.normals(rows * cols, 1.0);
    if half {
        let values: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
        device.matrix(rows, cols, WeightValues::F16(&values))
    } else {
        device.matrix(rows, cols, WeightValues::F32(&values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_the_table_row_of_its_id() {
        let table: Vec<f32> = (0..33).map(|i| i as f32).collect();
        let device = Device::Cpu;
        let matrix = device.matrix(11, 3, WeightValues::F32(&table));
        let y = embedding(&device, &device.ids(&[10, 0, 7]), &matrix);
        assert_eq!(y.cpu(), [30.0, 31.0, 32.0, 0.0, 1.0, 2.0, 21.0, 22.0, 23.0]);
    }
}

//! Test cases of `matmul`: every form the GPU has, dense and with weights as whole numbers.

use super::{MANY_ROWS, MatmulForm, MatmulJob, blocks, matmul};
use crate::Rng;
use crate::backend::gpu::Gpu;
use crate::backend::{Bits, Device, Matrix, MatrixData, WeightValues};
use crate::kernels::{Case, embedding, random};
use crate::weights::Dtype;

/// Every form at sizes 1, around its tiles and at one that divides nothing; f32 and f16; a view with offset.
pub fn cases() -> Vec<Case> {
    use MatmulForm::{MatvecDirect, MatvecShared};
    let tiles = [(1, 1, 1), (7, 7, 7), (8, 8, 8), (9, 9, 9), (63, 65, 15), (65, 63, 17)];
    let odd = [(64, 64, 16), (33, 267, 130)];
    // Around the largest tile.
    let large = [(127, 129, 31), (128, 128, 32), (129, 127, 40)];
    let rows = [(1, 1, 1), (1, 63, 8), (2, 64, 9), (3, 65, 63), (4, 7, 64), (4, 9, 130)];
    let mut cases = Vec::new();
    for &(form, _) in MANY_ROWS {
        let sizes = tiles.iter().chain(&odd).chain(&large);
        cases.extend(sizes.map(|&size| case(Some(form), size, Extras::of(size))));
    }
    for form in [MatvecDirect, MatvecShared] {
        cases.extend(rows.iter().map(|&size| case(Some(form), size, Extras::of(size))));
    }
    // Rows longer than four reads of eight lanes too.
    for size in [(5, 9, 64), (31, 17, 72), (32, 24, 9), (2, 9, 256), (4, 7, 328), (1, 8, 583)] {
        cases.push(case(Some(MatvecShared), size, Extras::of(size)));
    }
    cases.push(case(None, (1, 40, 24), Extras::default()));
    // Over the blocks of the CPU form: 64 rows, 768 inputs.
    cases.push(case(None, (69, 17, 777), Extras::default()));
    cases.push(case(None, (5, 12, 36), Extras { bias: true, residual: true, half: false }));
    for form in MANY_ROWS.iter().map(|(form, _)| *form).chain([MatvecDirect, MatvecShared]) {
        let sizes: &[_] = if form.is_matvec() { &rows } else { &tiles };
        let sizes = sizes.iter().chain((!form.is_matvec()).then_some(&odd[1]));
        cases.extend(sizes.enumerate().map(|(i, &size)| block_case(form, size, i)));
    }
    #[cfg(not(target_arch = "wasm32"))]
    cases.extend(f16_cases());
    cases
}

/// Those of f16 beside f32, where a GPU has it.
#[cfg(not(target_arch = "wasm32"))]
fn f16_cases() -> Vec<Case> {
    use MatmulForm::TilesF16;
    let forms = [TilesF16(8, 8), TilesF16(8, 16), TilesF16(16, 16)];
    let sizes = [(1, 1, 1), (9, 9, 9), (65, 63, 17), (33, 267, 130), (129, 127, 40)];
    let mut cases = Vec::new();
    for form in forms {
        for (i, &size) in sizes.iter().enumerate() {
            cases.push(case(Some(form), size, Extras::of(size)));
            cases.push(block_case(form, size, i));
        }
    }
    for case in &mut cases {
        case.tolerance = 6e-2;
        case.why = "a sum of 16 products of normals, of order 4, is rounded by up to 2^-11 of itself 16 times, and factors before: 0.01 \
                    in sums of 130, of which the largest of 9,000 is several times that";
    }
    cases
}

/// One case of weights as whole numbers: every kind of grid in turn. The CPU multiplies their dequantised values.
fn block_case(form: MatmulForm, (rows, outs, depth): (usize, usize, usize), i: usize) -> Case {
    let bits = if i.is_multiple_of(2) { Bits::Four } else { Bits::Eight };
    let group = [depth, 32, 64][i % 3].min(depth);
    Case {
        name: format!("matmul {form:?} {rows}x{depth} by {bits:?} {outs}x{depth} in {group}"),
        tolerance: 5e-5,
        why: "sums of up to 130 products of order 1 in another order",
        run: Box::new(move |device| {
            let mut rng = Rng::new(6);
            let blocks = blocks::random_blocks(&mut rng, (outs, depth), bits, group, i % 4 > 1);
            let x = random(device, &mut rng, rows, depth + 8);
            let x = x.columns(if depth % 4 == 0 { 4 } else { 3 }, depth);
            // Products of few rows do not round.
            let dtype =
                [Dtype::F32, Dtype::F16, Dtype::BF16][if form.is_matvec() { 0 } else { i % 3 }];
            let values: Vec<f32> = blocks.to_f32().into_iter().map(|w| dtype.round(w)).collect();
            let dense = device.matrix(outs, depth, WeightValues::F32(&values));
            let quantised = Matrix::quantised(device, &blocks, dtype);
            vec![match (device, quantised.data()) {
                (Device::Gpu(gpu), MatrixData::Blocks(w)) if has(gpu, form) => {
                    MatmulJob::new(x, &quantised, None, None).on_gpu_blocks(gpu, form, w)
                }
                _ => matmul(device, x, &dense, None, None),
            }]
        }),
    }
}

/// Whether a GPU can compute so.
#[cfg(not(target_arch = "wasm32"))]
fn has(gpu: &Gpu, form: MatmulForm) -> bool {
    !matches!(form, MatmulForm::TilesF16(..)) || gpu.has_f16()
}

#[cfg(target_arch = "wasm32")]
fn has(_: &Gpu, _: MatmulForm) -> bool {
    true
}

#[derive(Clone, Copy, Default)]
struct Extras {
    bias: bool,
    residual: bool,
    half: bool,
}

impl Extras {
    /// Spreads the eight combinations over the sizes.
    fn of((rows, outs, depth): (usize, usize, usize)) -> Self {
        let pick = rows + outs / 2 + depth / 3;
        Self { bias: pick % 2 == 0, residual: pick % 3 == 0, half: (pick / 2) % 2 == 0 }
    }
}

/// One case; `None` is the form the adapter gets. Columns 4.. of a wider tensor are read when depth is a multiple
/// of 4 (as vectors), columns 3.. otherwise (one by one).
fn case(
    form: Option<MatmulForm>,
    (rows, outs, depth): (usize, usize, usize),
    extras: Extras,
) -> Case {
    let name = form.map_or("chosen".into(), |form| format!("{form:?}"));
    let kind = if extras.half { "f16" } else { "f32" };
    Case {
        name: format!("matmul {name} {rows}x{depth} by {kind} {outs}x{depth}"),
        tolerance: if depth > 130 { 2e-4 } else { 5e-5 },
        why: "sums of up to 130 (a few: 777) products of normals in another order",
        run: Box::new(move |device| {
            let mut rng = Rng::new(5);
            let offset = if depth % 4 == 0 { 4 } else { 3 };
            let x = random(device, &mut rng, rows, depth + 2 * offset);
            let w = embedding::random_matrix(device, &mut rng, outs, depth, extras.half);
            let bias = extras.bias.then(|| random(device, &mut rng, 1, outs));
            let residual = extras.residual.then(|| random(device, &mut rng, rows, outs));
            let x = x.columns(offset, depth);
            let job = MatmulJob::new(x, &w, bias.as_ref(), residual.as_ref());
            vec![match (device, form) {
                (Device::Gpu(gpu), Some(form)) if has(gpu, form) => job.on_gpu(gpu, form),
                _ => matmul(device, x, &w, bias.as_ref(), residual.as_ref()),
            }]
        }),
    }
}

//! Masks and compensation of rows of weights from the factor U of an inverse Hessian, H⁻¹ = UᵀU; f32 on the GPU.
//!
//! `mark`: which weights of a whole row go. `compensate`: block by block, the weights of a block that go and what
//! the others make of it, column by column (SparseGPT) or at once (MRP). The equations are those of
//! `prune/sparsegpt.rs`, `prune/mrp.rs` and `prune/joint.rs`. G of a mask: U[s.., a..b]ᵀ U[s.., a..b], with s the
//! beginning of the span: 0, the block, the group or the column itself.
//!
//! Shapes: weights `[rows, n]` for `mark`, `[n, rows]` for `compensate` (neighbouring invocations are neighbouring
//! rows), U `[n, n]`, scales `[1, 2 n + 1]` of `inverse_factor`. An invocation has one row and needs no barrier. The
//! lowest scores are found by their bits, from the highest down: 31 passes over a row instead of n.

mod cpu;

pub(super) use cpu::eliminate;

use super::inverse_factor::{inverse_factor, random_gram};
use super::{Case, groups, random, spread};
use crate::Rng;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "prune_rows",
    source: &[
        wgsl!(include_str!("../../shaders/prune_rows_mask.wgsl")),
        wgsl!(include_str!("../../shaders/prune_rows.wgsl")),
        wgsl!(include_str!("../../shaders/prune_rows_joint.wgsl")),
    ],
    reads: 2,
    writes: 4,
};

/// Bytes of the systems that one launch solves.
const MOST_SPACE: usize = 32 << 20;

/// Columns of an invocation that marks groups. lavapipe ends an invocation after 65,535 turns of its loops without a
/// word: 32 columns with all subsets of 4:8 are some 20,000.
const GROUPED_COLUMNS: usize = 32;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    n: u32,
    a: u32,
    b: u32,
    row_step: u32,
    column_step: u32,
    remove: u32,
    width: u32,
    span: u32,
    first: u32,
}

/// How the others make up for what goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowWay {
    /// Column by column (SparseGPT, arXiv 2301.00774).
    InTurn,
    /// All that go in a span at once (MRP).
    Jointly,
}

/// What goes.
#[derive(Debug, Clone)]
pub struct RowPlan {
    /// Columns of a block.
    pub block: usize,
    /// Weights of a row that go, in every block.
    pub remove: Vec<usize>,
    /// `zeros` of every `group` columns; a group of 1 is none. Blocks are whole groups.
    pub zeros: usize,
    /// Columns of a group of the pattern (M of N:M).
    pub group: usize,
    /// By the joint loss of all subsets of a group, not one by one.
    pub joint: bool,
}

/// A factored Hessian on a GPU.
#[derive(Clone, Copy)]
pub struct Factored<'a> {
    /// Upper triangular, H⁻¹ = UᵀU `[n, n]`.
    pub u: &'a Tensor,
    /// `[1, 2 n + 1]`, as in [`super::inverse_factor::Damped`].
    pub scales: &'a Tensor,
    /// Becomes 1 when a system cannot be solved.
    pub status: &'a Tensor,
}

impl RowPlan {
    /// Columns a..b of every block and how many of them go.
    fn blocks(&self, n: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let from = (0..n).step_by(self.block);
        from.zip(&self.remove).map(move |(a, remove)| (a, (a + self.block).min(n), *remove))
    }

    /// Width and span of G where the columns before `span` are frozen.
    fn shape(&self, way: Option<RowWay>) -> (usize, usize) {
        match way {
            None => (self.group_of_mask(), usize::MAX),
            Some(RowWay::InTurn) => (self.group_of_mask(), self.group_of_mask()),
            Some(RowWay::Jointly) => (self.block, self.block),
        }
    }

    fn group_of_mask(&self) -> usize {
        if self.joint { self.group } else { 1 }
    }
}

/// Revived weights (those of dead inputs are 0) and keep `[rows, n]`: 0 for what goes of `w` `[rows, n]`, else 1.
pub fn mark(gpu: &Gpu, w: &Tensor, hessian: Factored<'_>, plan: &RowPlan) -> [Tensor; 2] {
    let (rows, n) = (w.rows(), w.cols());
    let launch = Launch::new(gpu, w, hessian, plan, (rows, n, None));
    let keep = gpu.alloc(rows * n * 4);
    // Groups do not know of each other, so an invocation need not go through all of them.
    let step = if plan.group == 1 { n } else { GROUPED_COLUMNS };
    for a in (0..n).step_by(step) {
        let (a, b) = (a as u32, (a + step).min(n) as u32);
        let params = Params { a, b, remove: plan.remove[0] as u32, ..launch.params };
        launch.go("mark", params, &keep, &launch.none, [groups(rows, 64), 1, 1]);
    }
    [Tensor::on_gpu(rows, n, launch.w), Tensor::on_gpu(rows, n, keep)]
}

/// `w` `[n, rows]` with what goes at 0 and made up for.
pub fn compensate(
    gpu: &Gpu,
    w: &Tensor,
    hessian: Factored<'_>,
    plan: &RowPlan,
    way: RowWay,
) -> Tensor {
    let (n, rows) = (w.rows(), w.cols());
    let launch = Launch::new(gpu, w, hessian, plan, (rows, n, Some(way)));
    let errors = gpu.alloc(plan.block * rows * 4);
    for (a, b, remove) in plan.blocks(n) {
        let params = Params { a: a as u32, b: b as u32, remove: remove as u32, ..launch.params };
        match way {
            RowWay::InTurn => {
                launch.go("in_turn", params, &errors, &launch.none, [groups(rows, 64), 1, 1]);
            }
            RowWay::Jointly => launch.solve(params, &errors),
        }
        if b < n {
            let tiles = [groups(rows, 32), groups(n - b, 32), 1];
            launch.go("carry_on", params, &errors, &launch.none, tiles);
        }
    }
    Tensor::on_gpu(n, rows, launch.w)
}

/// What all launches for a matrix share.
struct Launch<'a> {
    gpu: &'a Gpu,
    hessian: Factored<'a>,
    params: Params,
    constants: [(&'static str, f64); 4],
    w: Buffer,
    g: Buffer,
    none: Buffer,
}

impl<'a> Launch<'a> {
    /// Revives the weights and computes G.
    fn new(
        gpu: &'a Gpu,
        w: &Tensor,
        hessian: Factored<'a>,
        plan: &RowPlan,
        (rows, n, way): (usize, usize, Option<RowWay>),
    ) -> Launch<'a> {
        assert_eq!((hessian.u.rows(), hessian.scales.cols()), (n, 2 * n + 1), "factor");
        let (width, span) = plan.shape(way);
        let is_flat = way.is_none();
        let params = Params {
            rows: rows as u32,
            n: n as u32,
            a: 0,
            b: 0,
            row_step: if is_flat { n as u32 } else { 1 },
            column_step: if is_flat { 1 } else { rows as u32 },
            remove: 0,
            width: width as u32,
            span: span.min(n) as u32,
            first: 0,
        };
        let chunk = if plan.group == 1 { 8 } else { plan.group };
        let constants = [
            ("GROUP", plan.group as f64),
            ("ZEROS", plan.zeros as f64),
            ("JOINT", f64::from(u8::from(plan.joint))),
            ("CHUNK", chunk as f64),
        ];
        let buffer = |len: usize| gpu.alloc(len * 4);
        let (weights, g, none) = (buffer(rows * n), buffer(n * width), buffer(1));
        let launch = Launch { gpu, hessian, params, constants, w: weights, g, none };
        let all = spread((rows * n).div_ceil(256));
        let reads = [w.gpu(), hessian.scales.gpu()];
        // A browser refuses a buffer that is bound for writing twice.
        let spare = buffer(1);
        launch.record("revive", params, reads, [&launch.w, &launch.none, &spare], all);
        let reads = [hessian.u.gpu(), hessian.scales.gpu()];
        let columns = [groups(n, 64), width as u32, 1];
        launch.record("blocks", params, reads, [&launch.g, &launch.none, &spare], columns);
        launch
    }

    /// One small system a row.
    fn solve(&self, params: Params, errors: &Buffer) {
        let most = params.remove as usize;
        let elements = most * (most + 1) / 2 + 2 * most;
        let rows = (MOST_SPACE / 4 / elements.max(1)).clamp(1, params.rows as usize);
        let space = self.gpu.alloc((elements * rows).max(1) * 4);
        for first in (0..params.rows).step_by(rows) {
            let params = Params { first, span: rows as u32, ..params };
            self.go("jointly", params, errors, &space, [groups(rows, 64), 1, 1]);
        }
    }

    fn go(
        &self,
        entry: &'static str,
        params: Params,
        errors: &Buffer,
        space: &Buffer,
        groups: [u32; 3],
    ) {
        let reads = [self.hessian.u.gpu(), &self.g];
        self.record(entry, params, reads, [&self.w, errors, space], groups);
    }

    fn record(
        &self,
        entry: &'static str,
        params: Params,
        reads: [&Buffer; 2],
        [w, errors, space]: [&Buffer; 3],
        groups: [u32; 3],
    ) {
        self.gpu.dispatch(&Dispatch {
            shader: &SHADER,
            entry,
            constants: &self.constants,
            params: bytemuck::bytes_of(&params),
            reads: &reads,
            writes: &[w, errors, space, self.hessian.status.gpu()],
            groups,
        });
    }
}

/// Every mask and both ways, at blocks and rows that nothing divides, and at whole blocks.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (rows, n, block) in [(1usize, 5usize, 32usize), (3, 64, 32), (66, 75, 32), (9, 130, 64)] {
        let block = block.min(n);
        for (zeros, group, joint) in [(0, 1usize, false), (2, 4, false), (2, 4, true), (4, 8, true)]
        {
            for way in [None, Some(RowWay::InTurn), Some(RowWay::Jointly)] {
                // A block of fewer columns than a group is no whole group.
                let block =
                    if block.is_multiple_of(group) { block } else { n.next_multiple_of(group) };
                all.push(case((rows, n, block), (zeros, group, joint), way));
            }
        }
    }
    all
}

fn case(
    (rows, n, block): (usize, usize, usize),
    (zeros, group, joint): (usize, usize, bool),
    way: Option<RowWay>,
) -> Case {
    let kind = if joint { "M" } else { "S" };
    Case {
        name: format!("prune_rows {way:?} {rows}x{n} in {block}, {zeros} of {group}, {kind}"),
        tolerance: 1e-3,
        why: "f32 against f64 through up to 130 compensations; the masks must be the same",
        run: Box::new(move |device| {
            let mut rng = Rng::new(62);
            let [u, scales] = inverse_factor(device, &random_gram(device, &mut rng, n), 0.01);
            let block = if way.is_none() { n } else { block };
            let upto = |j: usize| match group {
                1 => j * 3 / 5,
                _ => j / group * zeros + j % group * zeros / group,
            };
            let parts = (0..n).step_by(block);
            let remove = parts.map(|a| upto((a + block).min(n)) - upto(a)).collect();
            let plan = RowPlan { block, remove, zeros, group, joint };
            let status = device.zeros(1, 1);
            let hessian = Factored { u: &u, scales: &scales, status: &status };
            let mut out = match (device, way) {
                (Device::Cpu, None) => {
                    cpu::mark(&random(device, &mut rng, rows, n), hessian, &plan).into()
                }
                (Device::Gpu(gpu), None) => {
                    mark(gpu, &random(device, &mut rng, rows, n), hessian, &plan).into()
                }
                (Device::Cpu, Some(way)) => {
                    vec![cpu::compensate(&random(device, &mut rng, n, rows), hessian, &plan, way)]
                }
                (Device::Gpu(gpu), Some(way)) => {
                    vec![compensate(gpu, &random(device, &mut rng, n, rows), hessian, &plan, way)]
                }
            };
            out.push(status);
            out
        }),
    }
}

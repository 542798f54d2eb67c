//! The same methods on a GPU, in f32: the statistics never leave it, only the weights come back.
//!
//! What is computed is in the kernels `inverse_factor`, `prune_rows` and `refit`. Where f32 does not hold (a pivot
//! that cannot be told from 0, a result that is not finite) the answer is [`Outcome::NotPositive`] and the driver
//! computes the matrix again on the CPU in f64.

use super::joint::of_groups;
use super::knobs::block_of;
use super::outcome::Outcome;
use super::pattern::Pattern;
use crate::Result;
use crate::backend::gpu::Gpu;
use crate::backend::{Device, Matrix, Tensor};
use crate::kernels::inverse_factor::Damped;
use crate::kernels::prune_rows::{self, Factored, RowPlan, RowWay};
use crate::kernels::refit;
use crate::method::Setting;
use crate::pace::Pace;
use std::cell::OnceCell;
use std::rc::Rc;

/// Up to so many inputs the CPU is done before a GPU has heard of it.
const FEW_INPUTS: usize = 128;
/// Elements of a batch of rows; a buffer may be 128 MB.
const MOST_ELEMENTS: usize = 8 << 20;

/// Which GPUs may solve for weights; every one of them runs the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solvers {
    /// A GPU that is a program on the CPU is slower than our own arithmetic, and lavapipe ends long loops without a
    /// word.
    RealGpus,
    /// Programs too: short rows only.
    AllGpus,
}

/// The inputs of a matrix, on the GPU.
pub struct DeviceInputs {
    device: Device,
    gpu: Rc<Gpu>,
    gram: Tensor,
    damped: Damped,
    sums: OnceCell<Vec<f64>>,
    u: OnceCell<Tensor>,
    scaled: OnceCell<Matrix>,
}

/// Which weights go: N of M, S or M, `block` columns at a time.
pub struct Masking {
    pub pattern: Pattern,
    pub joint: bool,
    pub block: usize,
}

impl DeviceInputs {
    /// Of XᵀX on a GPU; `None` where the CPU is to compute.
    pub fn new(
        device: &Device,
        solvers: Solvers,
        gram: &Tensor,
        damping: f64,
    ) -> Option<DeviceInputs> {
        let Device::Gpu(gpu) = device else { return None };
        let may_solve = solvers == Solvers::AllGpus || !gpu.is_software();
        (may_solve && gram.cols() > FEW_INPUTS).then(|| DeviceInputs {
            device: device.clone(),
            gpu: gpu.clone(),
            gram: gram.clone(),
            damped: Damped::new(gpu, gram, damping as f32),
            sums: OnceCell::new(),
            u: OnceCell::new(),
            scaled: OnceCell::new(),
        })
    }

    /// Inputs of the matrix.
    pub fn cols(&self) -> usize {
        self.damped.n
    }

    /// The diagonal of XᵀX, for masks that the CPU chooses.
    pub async fn square_sums(&self) -> Result<Vec<f64>> {
        if let Some(sums) = self.sums.get() {
            return Ok(sums.clone());
        }
        let n = self.damped.n;
        let gram = self.device.read(&self.gram).await?;
        let sums: Vec<f64> = (0..n).map(|j| f64::from(gram[j * n + j])).collect();
        Ok(self.sums.get_or_init(|| sums).clone())
    }

    /// SparseGPT, or MRP in blocks.
    pub async fn compensate(
        &self,
        weights: &mut [f32],
        masking: &Masking,
        way: RowWay,
        pace: &Pace,
    ) -> Result<Outcome> {
        let n = self.damped.n;
        let plan = masking.plan(n);
        for batch in weights.chunks_mut(MOST_ELEMENTS / n * n) {
            let rows = batch.len() / n;
            let w = self.device.tensor(n, rows, &transposed(batch, rows, n));
            let out = prune_rows::compensate(&self.gpu, &w, self.factored(), &plan, way);
            batch.copy_from_slice(&transposed(&self.device.read(&out).await?, n, rows));
            pace.breathe().await?;
        }
        self.outcome(weights).await
    }

    /// MRP over whole rows.
    pub async fn whole_rows(
        &self,
        weights: &mut [f32],
        masking: &Masking,
        pace: &Pace,
    ) -> Result<Outcome> {
        let n = self.damped.n;
        let plan = masking.plan(n);
        for batch in weights.chunks_mut(MOST_ELEMENTS / n * n) {
            let w = self.device.tensor(batch.len() / n, n, batch);
            let [w, keep] = prune_rows::mark(&self.gpu, &w, self.factored(), &plan);
            self.refit_batch(batch, [&w, &keep], pace).await?;
        }
        self.outcome(weights).await
    }

    /// The best values for a mask (true: goes) that is given; weights of dead inputs are 0.
    pub async fn refit(&self, weights: &mut [f32], mask: &[bool], pace: &Pace) -> Result<Outcome> {
        let n = self.damped.n;
        let size = MOST_ELEMENTS / n * n;
        for (batch, mask) in weights.chunks_mut(size).zip(mask.chunks(size)) {
            let keep: Vec<f32> = mask.iter().map(|goes| f32::from(u8::from(!goes))).collect();
            let keep = self.device.tensor(batch.len() / n, n, &keep);
            let w = self.device.tensor(batch.len() / n, n, batch);
            self.refit_batch(batch, [&w, &keep], pace).await?;
        }
        self.outcome(weights).await
    }

    async fn refit_batch(&self, batch: &mut [f32], rows: [&Tensor; 2], pace: &Pace) -> Result<()> {
        let a = self.scaled.get_or_init(|| self.damped.scaled(&self.gpu));
        let system = (a, &self.damped.scales);
        let out = refit::refit(&self.device, &self.gpu, rows, system, pace).await?;
        batch.copy_from_slice(&self.device.read(&out).await?);
        Ok(())
    }

    fn factored(&self) -> Factored<'_> {
        let Damped { scales, status, .. } = &self.damped;
        Factored { u: self.u.get_or_init(|| self.damped.factor(&self.gpu)), scales, status }
    }

    /// Whether the results can be used.
    async fn outcome(&self, weights: &[f32]) -> Result<Outcome> {
        let status = self.device.read(&self.damped.status).await?;
        let is_good = status == [0.0] && weights.iter().all(|w| w.is_finite());
        Ok(if is_good { Outcome::Done } else { Outcome::NotPositive })
    }
}

impl Masking {
    /// From the knobs of a method with mask and block. Errors: mask M without groups.
    pub fn of(setting: &Setting, cols: usize) -> Result<Masking> {
        let pattern = Pattern::of(setting);
        let joint = setting.choice("mask") == "M";
        if joint {
            of_groups(pattern)?;
        }
        Ok(Masking { pattern, joint, block: block_of(setting, cols) })
    }

    fn plan(&self, n: usize) -> RowPlan {
        let (zeros, group) = match self.pattern {
            Pattern::Row(_) | Pattern::Shared(_) => (0, 1),
            Pattern::NofM { zeros, group } => (zeros, group),
        };
        // A block is whole groups; only that of a whole row may not be.
        let block = self.block.next_multiple_of(group);
        let remove = (0..n).step_by(block).map(|a| self.pattern.quota(a, (a + block).min(n)));
        RowPlan { block, remove: remove.collect(), zeros, group, joint: self.joint }
    }
}

/// `[rows, cols]` as `[cols, rows]`.
fn transposed(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (r, row) in values.chunks_exact(cols).enumerate() {
        row.iter().enumerate().for_each(|(c, v)| out[c * rows + r] = *v);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::tests::setting;

    #[test]
    fn a_plan_says_what_every_block_of_columns_loses() {
        let plan = |spec: &str, n: usize| {
            let plan = Masking::of(&setting(spec), n).unwrap().plan(n);
            (plan.block, plan.remove, (plan.zeros, plan.group, plan.joint))
        };
        assert_eq!(plan("mrp:block=32", 80), (32, vec![16, 16, 8], (0, 1, false)));
        assert_eq!(plan("mrp:block=32,sparsity=0.25", 33), (32, vec![8, 0], (0, 1, false)));
        // The whole row, three of every four and one of the last two.
        assert_eq!(plan("mrp:pattern=1:4", 10), (12, vec![7], (3, 4, false)));
        let joint = plan("sparsegpt:pattern=2:4,mask=M,block=32", 40);
        assert_eq!(joint, (32, vec![16, 4], (2, 4, true)));
        let error = Masking::of(&setting("mrp:mask=M"), 8).err().expect("no groups").to_string();
        assert!(error.contains("mask S, or a pattern"), "{error}");
    }

    #[test]
    fn rows_become_columns() {
        assert_eq!(
            transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }
}

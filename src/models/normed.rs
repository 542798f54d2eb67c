//! Rows behind a norm, and the products that read them.
//!
//! A decoded token has work for a microsecond in a norm or a product, and a GPU takes longer than that from one launch to
//! the next: where one launch can do the norm and all products that read it, it does ([`NormedRow`]). Otherwise the
//! norm is computed once, when the first product asks. A program on the CPU waits for no launch, and the form for four
//! outputs at a time is faster there.

use super::Hooks;
use super::projection::{NormLayer, Projection};
use crate::backend::{Device, Matrix, Tensor};
use crate::kernels::conv1d::conv1d_silu;
use crate::kernels::matvec_conv::Conv;
use crate::kernels::matvec_many::NormedRow;
use crate::kernels::swiglu::swiglu;
use std::cell::OnceCell;

pub(super) struct Normed<'a> {
    norm: &'a NormLayer,
    x: &'a Tensor, // [seq_len, d_model]
    rows: OnceCell<Tensor>,
}

/// What a projection gives, and where the columns of it stand that were convolved.
pub(super) struct Convolved {
    pub projected: Tensor, // [seq_len, outs]
    pub tensor: Tensor,    // the same, or the convolved columns alone
    /// The first convolved column of `tensor`.
    pub at: usize,
}

impl<'a> Normed<'a> {
    pub fn new(norm: &'a NormLayer, x: &'a Tensor) -> Self {
        Self { norm, x, rows: OnceCell::new() }
    }

    #[inline(never)]
    fn run(&self, device: &Device, p: &Projection, hooks: &mut dyn Hooks) -> Tensor {
        p.run(device, self.rows.get_or_init(|| self.norm.run(device, self.x)), hooks)
    }

    /// Several projections: each in a tensor of its own, or all side by side in one.
    #[inline(never)]
    pub fn project(
        &self,
        device: &Device,
        list: &[Projection],
        hooks: &mut dyn Hooks,
    ) -> Vec<Tensor> {
        let matrices: Vec<&Matrix> = list.iter().map(|p| &p.weight).collect();
        match self.in_one_launch(device, list, hooks) {
            Some(row) => vec![row.times(&matrices)],
            None => list.iter().map(|p| self.run(device, p, hooks)).collect(),
        }
    }

    /// One projection.
    pub fn one(&self, device: &Device, p: &Projection, hooks: &mut dyn Hooks) -> Tensor {
        self.project(device, std::slice::from_ref(p), hooks).remove(0)
    }

    /// silu(gate) * up.
    pub fn gated(&self, device: &Device, both: &[Projection; 2], hooks: &mut dyn Hooks) -> Tensor {
        if let Some(row) = self.in_one_launch(device, both, hooks) {
            return row.gated(both.each_ref().map(|p| &p.weight));
        }
        let [gate, up] = both.each_ref().map(|p| self.run(device, p, hooks));
        swiglu(device, &gate, &up)
    }

    /// A projection, some of its columns convolved with those of the tokens before.
    pub fn convolved(
        &self,
        device: &Device,
        p: &Projection,
        conv: Conv<'_>,
        state: &mut Tensor,
        hooks: &mut dyn Hooks,
    ) -> Convolved {
        if let Some(row) = self.in_one_launch(device, std::slice::from_ref(p), hooks) {
            let (projected, next) = row.convolved(&p.weight, conv, state);
            *state = next;
            return Convolved { tensor: projected.clone(), projected, at: conv.first };
        }
        let projected = self.run(device, p, hooks);
        let columns = projected.columns(conv.first, conv.weight.rows());
        let (tensor, next) = conv1d_silu(device, columns, conv.weight, conv.bias, state);
        *state = next;
        Convolved { projected, tensor, at: 0 }
    }

    /// The row, where one launch can do it together with these projections and nobody looks at what lies between.
    #[inline(never)]
    fn in_one_launch<'b>(
        &'b self,
        device: &'b Device,
        list: &[Projection],
        hooks: &dyn Hooks,
    ) -> Option<NormedRow<'b>> {
        let NormLayer::Rms { weight, eps } = self.norm else { return None };
        let is_slow = matches!(device, Device::Gpu(gpu) if gpu.is_software());
        if is_slow || hooks.looks_on() || list.iter().any(|p| p.bias.is_some()) {
            return None;
        }
        let matrices: Vec<&Matrix> = list.iter().map(|p| &p.weight).collect();
        NormedRow::new(device, self.x.view(), (weight, *eps), &matrices)
    }
}

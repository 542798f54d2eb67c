//! Matrices of a mapped file that the CPU reads where they lie: nothing is converted, and nothing is copied.

use super::Weights;
use crate::Result;
use crate::backend::{Device, Matrix, Stored};
use crate::models::names::is_transposed;
use crate::weights::Dtype;

impl Weights {
    /// A matrix of the checkpoint that the CPU can read where it lies in the mapped file. Errors: as [`Weights::matrix`].
    pub(super) fn in_place(
        &self,
        device: &Device,
        name: &str,
        rows: usize,
        cols: usize,
    ) -> Result<Option<Matrix>> {
        let stored = self.found(name);
        let values = match self.checkpoint.dtype(&stored) {
            Some(Dtype::F32) => self.checkpoint.in_place(&stored).map(Stored::F32),
            Some(Dtype::F16) => self.checkpoint.in_place(&stored).map(Stored::F16),
            _ => None,
        };
        let Some(values) = values.filter(|_| matches!(device, Device::Cpu) && !is_transposed(name))
        else {
            return Ok(None);
        };
        self.original(name, &[rows, cols])?;
        Ok(Some(Matrix::in_place(rows, cols, values)))
    }
}

//! Runs calibration sequences through the dense model and keeps what each matrix was fed.

use super::{Inputs, Statistic};
use crate::Result;
use crate::backend::{Device, Tensor, View};
use crate::kernels::column_squares::column_squares;
use crate::kernels::rows::copy;
use crate::models::{Hooks, Linear, Model};
use crate::pace::Pace;
use std::collections::HashMap;

/// Statistics by checkpoint name, still on the device.
pub struct Calibration {
    square_sums: HashMap<String, Tensor>, // [1, cols]
    samples: HashMap<String, Tensor>,     // [tokens of the first sequence, cols]
}

/// The hook that gathers.
struct Gather<'a> {
    wanted: HashMap<&'a str, usize>,
    statistic: Statistic,
    out: &'a mut Calibration,
}

impl Hooks for Gather<'_> {
    fn linear_input(&mut self, device: &Device, weight: &str, x: View<'_>) {
        let Some(&cols) = self.wanted.get(weight) else { return };
        if !self.out.samples.contains_key(weight) {
            self.out.samples.insert(weight.to_string(), copy(device, x));
        }
        if self.statistic == Statistic::SquareSums {
            let sum = self.out.square_sums.remove(weight);
            let sum = sum.unwrap_or_else(|| device.zeros(1, cols));
            self.out.square_sums.insert(weight.to_string(), column_squares(device, x, &sum));
        }
    }
}

impl Calibration {
    /// Errors: cancelled, or the GPU failed.
    pub async fn gather(
        device: &Device,
        model: &Model,
        linears: &[Linear],
        sequences: &[Vec<u32>],
        statistic: Statistic,
        pace: &Pace,
    ) -> Result<Calibration> {
        let mut out = Calibration { square_sums: HashMap::new(), samples: HashMap::new() };
        // Without a statistic one sequence is enough: it only feeds the error report.
        let n = if statistic == Statistic::Nothing { 1 } else { sequences.len() };
        for sequence in &sequences[..n.min(sequences.len())] {
            let wanted = linears.iter().map(|l| (l.name.as_str(), l.cols)).collect();
            let mut hook = Gather { wanted, statistic, out: &mut out };
            let mut state = model.start(device);
            model.forward(device, sequence, &mut state, &mut hook);
            // Every sequence is submitted and waited for: memory stays bounded and a cancel is heard.
            device.finish().await?;
            pace.breathe().await?;
        }
        Ok(out)
    }

    /// The statistics of one matrix.
    pub async fn inputs(&self, device: &Device, linear: &Linear) -> Result<Inputs> {
        let square_sums = match self.square_sums.get(&linear.name) {
            Some(sums) => device.read(sums).await?,
            None => Vec::new(),
        };
        Ok(Inputs { cols: linear.cols, square_sums })
    }

    /// Inputs of one matrix on the first sequence.
    pub fn sample(&self, linear: &Linear) -> Option<&Tensor> {
        self.samples.get(&linear.name)
    }
}

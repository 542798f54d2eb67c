//! Goes through a model layer by layer: gather what its matrices are fed, prune them, report, go on.
//!
//! Inputs of layer l + 1 come from the layers as pruned so far, or from the dense model; inside a layer all
//! matrices use the inputs of the layer as it was before. Dense statistics are kept in the caller's cache, so that
//! another ratio or method reads no text again. Inputs from pruned layers depend on the setting and are gathered
//! anew each time.

use super::calibrate::{Calibration, Group, LayerInputs, Statistic, Walk};
use super::device::DeviceInputs;
use super::hessian::Hessian;
use super::units::Fields;
use super::{Inputs, Job, Needs, Outcome, Pattern, Pruning, method_of};
use crate::Result;
use crate::backend::{Device, Tensor, WeightValues};
use crate::config::ModelConfig;
use crate::kernels::matmul::matmul;
use crate::method::Setting;
use crate::models::{Edit, Edits, Linear, Model, Weights, linears};
use crate::pace::{Pace, now_ms};
use serde::Serialize;
use std::collections::HashMap;
use std::rc::Rc;

/// What pruning did to one matrix.
#[derive(Debug, Clone, Serialize)]
pub struct MatrixReport {
    /// Checkpoint name.
    pub name: String,
    pub rows: usize,
    pub cols: usize,
    /// Share of zeros asked for and reached, 0..=1.
    pub requested: f64,
    pub achieved: f64,
    /// ||X W^T - X W'^T||^2 / ||X W^T||^2 on the first calibration sequence.
    pub error: f64,
    /// The same on a sequence that is in no statistic; absent when there was only one sequence.
    pub held_out_error: Option<f64>,
    /// Time for this matrix without the calibration passes. The first of several matrices with the same inputs
    /// bears their factorisation.
    pub milliseconds: f64,
    /// λ as a share of the mean of diag(XᵀX), and how often it was raised because a factorisation failed; absent
    /// for methods without a Hessian.
    pub damping: Option<f64>,
    pub retries: u32,
    /// Where the weights were computed: on the GPU in f32, else on the CPU in f64.
    pub on_gpu: bool,
    /// The shape that is left where the matrix became smaller; nothing of a removed layer.
    pub left: Option<[usize; 2]>,
}

/// Pruned weights and the report.
pub struct Pruned {
    pub edits: Edits,
    pub report: Vec<MatrixReport>,
    /// Where the model has another shape now.
    pub smaller: Option<Smaller>,
}

/// What is left of a model's shape.
pub struct Smaller {
    pub config: ModelConfig,
    /// Fields of config.json that differ, and their values.
    pub fields: Fields,
    /// The numbers that the layers had before.
    pub layers: Vec<usize>,
}

/// Hears (matrices done, matrices in all).
pub type Progress<'a> = dyn FnMut(usize, usize) + 'a;

/// What is to be pruned.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub device: &'a Device,
    pub config: &'a ModelConfig,
    pub weights: &'a Weights,
    /// Made from `weights`.
    pub dense: &'a Model,
}

/// Zeroes weights of a model's matrices.
///
/// Arguments and errors: those of [`super::prune`].
pub async fn prune(
    subject: &Subject<'_>,
    sequences: &[Vec<u32>],
    setting: &Setting,
    cache: &mut Option<Calibration>,
    pace: &Pace,
    progress: &mut Progress<'_>,
) -> Result<Pruned> {
    let method = method_of(setting)?;
    let all = setting.choice("matrices") == "all";
    let chosen: Vec<Linear> =
        linears(subject.config).into_iter().filter(|l| all || l.by_default).collect();
    // What a method needs may depend on the width of a matrix, what is gathered for it does not.
    let needs = chosen.first().map_or(Needs::Nothing, |l| method.needs(setting, l.cols));
    let run = Run { subject, method, setting, statistic: Statistic::of(needs), pace };
    let mut pruned = Pruned { edits: Edits::new(), report: Vec::new(), smaller: None };
    match setting.choice("inputs") {
        "pruned" => run.follow_pruned(sequences, &chosen, &mut pruned, progress).await?,
        _ => run.follow_dense(sequences, &chosen, cache, &mut pruned, progress).await?,
    }
    progress(chosen.len(), chosen.len());
    Ok(pruned)
}

/// One pruning of a model.
struct Run<'a> {
    subject: &'a Subject<'a>,
    method: &'static dyn Pruning,
    setting: &'a Setting,
    statistic: Statistic,
    pace: &'a Pace,
}

/// The matrices of one layer.
fn of_layer(chosen: &[Linear], layer: usize) -> &[Linear] {
    let start = chosen.partition_point(|l| l.layer < layer);
    let end = chosen.partition_point(|l| l.layer <= layer);
    &chosen[start..end]
}

impl Run<'_> {
    async fn follow_pruned(
        &self,
        sequences: &[Vec<u32>],
        chosen: &[Linear],
        pruned: &mut Pruned,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let Subject { device, config, weights, .. } = *self.subject;
        let mut model = Model::load(device, config, weights)?;
        let mut walk = Walk::start(device, &model, self.statistic, sequences);
        let last = chosen.last().map_or(0, |l| l.layer);
        for layer in 0..=last {
            let linears = of_layer(chosen, layer);
            progress(pruned.report.len(), chosen.len());
            let (inputs, _) = walk.gather(device, &model, layer, linears, self.pace).await?;
            let edits = self.prune_layer(linears, &inputs, pruned, chosen.len(), progress).await?;
            if layer < last {
                model.reload_layer(device, &weights.with_edits(edits.clone()), layer)?;
                walk.run(device, &model, layer, self.pace).await?;
            }
            pruned.edits.extend(edits);
        }
        Ok(())
    }

    async fn follow_dense(
        &self,
        sequences: &[Vec<u32>],
        chosen: &[Linear],
        cache: &mut Option<Calibration>,
        pruned: &mut Pruned,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let Subject { device, config, dense, .. } = *self.subject;
        if let Some(kept) = cache.as_ref()
            && kept.serves(self.statistic, sequences, chosen)
        {
            for (layer, inputs) in kept.layers.iter().enumerate() {
                let linears = of_layer(chosen, layer);
                let edits =
                    self.prune_layer(linears, inputs, pruned, chosen.len(), progress).await?;
                pruned.edits.extend(edits);
            }
            return Ok(());
        }
        *cache = None; // before the new one is gathered: both together might be too large
        let keeps = Calibration::may_keep(self.statistic, sequences, chosen);
        let mut fresh = Calibration::new(self.statistic, sequences);
        let mut walk = Walk::start(device, dense, self.statistic, sequences);
        for layer in 0..config.n_layer() {
            let linears = of_layer(chosen, layer);
            progress(pruned.report.len(), chosen.len());
            let (inputs, next) = walk.gather(device, dense, layer, linears, self.pace).await?;
            walk.go_on(next);
            let edits = self.prune_layer(linears, &inputs, pruned, chosen.len(), progress).await?;
            pruned.edits.extend(edits);
            if keeps {
                fresh.layers.push(inputs);
            }
        }
        *cache = keeps.then_some(fresh);
        Ok(())
    }

    /// Prunes the matrices of a layer and reports on them.
    async fn prune_layer(
        &self,
        linears: &[Linear],
        inputs: &LayerInputs,
        pruned: &mut Pruned,
        all: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Edits> {
        let mut edits = Edits::new();
        let mut prepared = HashMap::new(); // by group
        for linear in linears {
            progress(pruned.report.len(), all);
            self.pace.breathe().await?;
            let Some((index, group)) = inputs.of(linear) else { continue };
            let start = now_ms();
            let ready = match prepared.remove(&index) {
                Some(ready) => ready,
                None => self.prepare(linear, group).await?,
            };
            let shape = [linear.rows, linear.cols];
            let before = self.subject.weights.values(&linear.name, &shape)?;
            let (after, ready) = self.prune_matrix((linear, group), &before, ready).await?;
            let milliseconds = now_ms() - start;
            let zeros = after.iter().filter(|w| **w == 0.0).count();
            let hessian = ready.inputs.hessian.as_ref();
            let on_gpu = ready.inputs.device.is_some();
            let asked = on_gpu.then(|| self.setting.number("damping"));
            let change = Change { linear, before: &before, after: &after };
            let device = self.subject.device;
            pruned.report.push(MatrixReport {
                name: linear.name.clone(),
                rows: linear.rows,
                cols: linear.cols,
                requested: Pattern::of(self.setting).share(),
                achieved: zeros as f64 / after.len() as f64,
                error: change.error(device, group.calibration.as_ref()).await?.unwrap_or(0.0),
                held_out_error: change.error(device, group.held_out.as_ref()).await?,
                milliseconds,
                damping: hessian.map(|h| h.damping).or(asked),
                retries: hessian.map_or(0, |h| h.retries),
                on_gpu,
                left: None,
            });
            edits.insert(linear.name.clone(), Edit { shape: shape.to_vec(), values: after });
            prepared.insert(index, ready);
        }
        Ok(edits)
    }

    /// Statistics on the GPU where it computes; else from the device, the Hessian factored.
    async fn prepare(&self, linear: &Linear, group: &Group) -> Result<Ready> {
        if let (Statistic::Gram, Some(sums)) = (self.statistic, &group.sums) {
            let damping = self.setting.number("damping");
            let device = DeviceInputs::new(self.subject.device, sums, damping);
            if device.is_some() {
                let (cols, square_sums) = (linear.cols, Vec::new());
                let inputs = Inputs { cols, square_sums, hessian: None, device };
                return Ok(Ready { inputs, gram: Vec::new() });
            }
        }
        self.prepare_on_cpu(linear, group).await
    }

    async fn prepare_on_cpu(&self, linear: &Linear, group: &Group) -> Result<Ready> {
        let n = linear.cols;
        let sums = match &group.sums {
            Some(sums) => self.subject.device.read(sums).await?,
            None => Vec::new(),
        };
        let sums: Vec<f64> = sums.into_iter().map(f64::from).collect();
        let mut inputs = Inputs { cols: n, square_sums: Vec::new(), hessian: None, device: None };
        if self.statistic != Statistic::Gram {
            inputs.square_sums = sums;
            return Ok(Ready { inputs, gram: Vec::new() });
        }
        let gram = symmetric(sums, n);
        inputs.square_sums = (0..n).map(|j| gram[j * n + j]).collect();
        let hessian = Hessian::new(&gram, n, self.setting.number("damping"), self.pace).await?;
        inputs.hessian = Some(self.completed(hessian).await?);
        Ok(Ready { inputs, gram })
    }

    /// With the inverse, if the method wants it.
    async fn completed(&self, mut hessian: Hessian) -> Result<Rc<Hessian>> {
        if self.method.needs(self.setting, hessian.n) == Needs::Inverse {
            hessian.invert(self.pace).await?;
        }
        Ok(Rc::new(hessian))
    }

    /// Prunes; on the CPU where the GPU's f32 does not hold, with more damping as long as a system cannot be solved.
    async fn prune_matrix(
        &self,
        (linear, group): (&Linear, &Group),
        before: &[f32],
        mut ready: Ready,
    ) -> Result<(Vec<f32>, Ready)> {
        loop {
            let mut after = before.to_vec();
            let job = Job {
                weights: &mut after,
                inputs: &ready.inputs,
                setting: self.setting,
                pace: self.pace,
            };
            let outcome = self.method.prune(job).await?;
            match (outcome, &ready.inputs.hessian) {
                (Outcome::NotPositive, None) if ready.inputs.device.is_some() => {
                    ready = self.prepare_on_cpu(linear, group).await?;
                }
                (Outcome::NotPositive, Some(hessian)) if hessian.damping < MOST_DAMPING => {
                    let raised = hessian.raised(&ready.gram, self.pace).await?;
                    ready.inputs.hessian = Some(self.completed(raised).await?);
                }
                (Outcome::Done, _) if after.iter().all(|w| w.is_finite()) => {
                    return Ok((after, ready));
                }
                _ => {
                    return Err(crate::Error::tensor(
                        "model.safetensors",
                        &linear.name,
                        "gives pruned weights that are not finite; are the weights of the file finite?",
                    ));
                }
            }
        }
    }
}

/// Damping beyond which the inputs no longer matter.
pub(super) const MOST_DAMPING: f64 = 1e6;

/// One group's statistics, ready for the method.
struct Ready {
    inputs: Inputs,
    /// XᵀX, should it have to be damped anew; empty without a Hessian.
    gram: Vec<f64>,
}

/// A matrix before and after.
pub(super) struct Change<'a> {
    pub linear: &'a Linear,
    pub before: &'a [f32],
    pub after: &'a [f32],
}

impl Change<'_> {
    /// Relative squared error of the output on some inputs `[tokens, cols]`.
    pub async fn error(&self, device: &Device, inputs: Option<&Tensor>) -> Result<Option<f64>> {
        let Some(inputs) = inputs else { return Ok(None) };
        let Change { linear, before, after } = *self;
        let difference: Vec<f32> = before.iter().zip(after).map(|(b, a)| b - a).collect();
        let mut energy = [0.0f64; 2];
        for (sum, values) in energy.iter_mut().zip([&difference[..], before]) {
            let matrix = device.matrix(linear.rows, linear.cols, WeightValues::F32(values));
            let y = device.read(&matmul(device, inputs, &matrix, None, None)).await?;
            *sum = y.iter().map(|v| f64::from(*v).powi(2)).sum();
        }
        Ok(Some(if energy[1] > 0.0 { energy[0] / energy[1] } else { 0.0 }))
    }
}

/// The mean of a nearly symmetric matrix and its transpose.
pub(super) fn symmetric(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    for i in 0..n {
        for j in 0..i {
            let mean = (a[i * n + j] + a[j * n + i]) / 2.0;
            a[i * n + j] = mean;
            a[j * n + i] = mean;
        }
    }
    a
}

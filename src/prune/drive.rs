//! Goes through a model layer by layer: gather what its matrices are fed, prune them, report, go on.
//!
//! Inputs of layer l + 1 come from the layers as pruned so far, or from the dense model; inside a layer all
//! matrices use the inputs of the layer as it was before. Dense statistics are kept in the caller's cache, so that
//! another ratio or method reads no text again. Inputs from pruned layers depend on the setting and are gathered
//! anew each time.

use super::calibrate::{Calibration, End, Group, LayerInputs, Statistic, Walk};
use super::check::{check, chosen};
use super::device::DeviceInputs;
use super::hessian::Hessian;
use super::ratios::ratios;
use super::report::{Change, MatrixReport, Pruned};
use super::wanda::Wanda;
use super::{Inputs, Job, Needs, Outcome, Pattern, Pruning, method_of};
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::method::Setting;
use crate::models::{Edit, Edits, Linear, Model, Weights};
use crate::pace::{Pace, now_ms};
use crate::{Error, Result};
use std::collections::HashMap;

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
    check(subject.config, setting)?;
    let method = method_of(setting)?;
    let chosen = chosen(subject.config, setting)?;
    // What a method needs may depend on the width of a matrix, what is gathered for it does not.
    let needs = chosen.first().map_or(Needs::Nothing, |l| method.needs(setting, l.cols));
    let statistic = Statistic::of(needs);
    let mut run = Run { subject, method, setting, own: HashMap::new(), statistic, pace };
    if setting.choice("ratios") == "sensitivity" {
        run.own = own_ratios(subject, sequences, (setting, &chosen), cache, pace, progress).await?;
    }
    let mut pruned = Pruned { edits: Edits::new(), report: Vec::new(), smaller: None };
    match setting.choice("inputs") {
        "pruned" => run.follow_pruned(sequences, &chosen, &mut pruned, progress).await?,
        _ => run.follow_dense(sequences, &chosen, cache, &mut pruned, progress).await?,
    }
    progress(chosen.len(), chosen.len());
    Ok(pruned)
}

/// Settings with the sparsity that the trial gives every matrix, by name.
async fn own_ratios(
    subject: &Subject<'_>,
    sequences: &[Vec<u32>],
    (setting, chosen): (&Setting, &[Linear]),
    cache: &mut Option<Calibration>,
    pace: &Pace,
    progress: &mut Progress<'_>,
) -> Result<HashMap<String, Setting>> {
    let sparsity = setting.number("sparsity");
    let mut trial = Setting::default_of(Wanda.about());
    trial.set_knob("sparsity", &sparsity.to_string())?;
    let (setting_of_trial, own) = (&trial, HashMap::new());
    let statistic = Statistic::SquareSums;
    let run = Run { subject, method: &Wanda, setting: setting_of_trial, own, statistic, pace };
    let mut pruned = Pruned { edits: Edits::new(), report: Vec::new(), smaller: None };
    // The count of the pruning proper begins at 0, so that of the trial is not shown.
    let quiet: &mut Progress<'_> = &mut |_, _| {};
    progress(0, chosen.len());
    run.follow_dense(sequences, chosen, cache, &mut pruned, quiet).await?;
    let errors: Vec<f64> = pruned.report.iter().map(|m| m.error).collect();
    let mut own = HashMap::new();
    for (linear, ratio) in chosen.iter().zip(ratios(sparsity, chosen, &errors)) {
        let mut setting = setting.clone();
        setting.set_knob("sparsity", &ratio.to_string())?;
        own.insert(linear.name.clone(), setting);
    }
    Ok(own)
}

/// One pruning of a model.
struct Run<'a> {
    subject: &'a Subject<'a>,
    method: &'static dyn Pruning,
    setting: &'a Setting,
    /// By matrix, where not all are pruned with `setting`.
    own: HashMap<String, Setting>,
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
    fn setting_of(&self, linear: &Linear) -> &Setting {
        self.own.get(&linear.name).unwrap_or(self.setting)
    }

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
            let of_inputs = (linears, End::OfInputs);
            let inputs = walk.gather(device, &model, layer, of_inputs, self.pace).await?;
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
            let to_end = (linears, End::OfLayer);
            let inputs = walk.gather(device, dense, layer, to_end, self.pace).await?;
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
                requested: Pattern::of(self.setting_of(linear)).share(),
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
        // A threshold shared by all rows is the CPU's.
        if let (Statistic::Gram, Some(sums), true) =
            (self.statistic, &group.sums, Pattern::of(self.setting).is_by_row())
        {
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
        inputs.hessian = Some(hessian);
        Ok(Ready { inputs, gram })
    }

    /// With the inverse, if the method wants it for this matrix.
    async fn complete(&self, linear: &Linear, ready: &mut Ready) -> Result<()> {
        let wants = self.method.needs(self.setting_of(linear), linear.cols) == Needs::Inverse;
        if let (true, Some(hessian)) = (wants, &mut ready.inputs.hessian) {
            hessian.invert(self.pace).await?;
        }
        Ok(())
    }

    /// Prunes; on the CPU where the GPU's f32 does not hold, with more damping as long as a system cannot be solved.
    async fn prune_matrix(
        &self,
        (linear, group): (&Linear, &Group),
        before: &[f32],
        mut ready: Ready,
    ) -> Result<(Vec<f32>, Ready)> {
        loop {
            self.complete(linear, &mut ready).await?;
            let mut after = before.to_vec();
            let job = Job {
                weights: &mut after,
                inputs: &ready.inputs,
                setting: self.setting_of(linear),
                pace: self.pace,
            };
            let outcome = self.method.prune(job).await?;
            match (outcome, &ready.inputs.hessian) {
                (Outcome::NotPositive, None) if ready.inputs.device.is_some() => {
                    ready = self.prepare_on_cpu(linear, group).await?;
                }
                (Outcome::NotPositive, Some(hessian)) if hessian.damping < MOST_DAMPING => {
                    let raised = hessian.raised(&ready.gram, self.pace).await?;
                    ready.inputs.hessian = Some(raised);
                }
                (Outcome::Done, _) if after.iter().all(|w| w.is_finite()) => {
                    return Ok((after, ready));
                }
                _ => {
                    return Err(Error::tensor(
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

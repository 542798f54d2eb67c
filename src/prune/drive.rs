//! Goes through a model layer by layer: gather what its matrices are fed, prune them, report, go on.
//!
//! Inputs of layer l + 1 come from the layers as pruned so far, or from the dense model; inside a layer all
//! matrices use the inputs of the layer as it was before. Dense statistics are kept in the caller's cache, so that
//! another ratio or method reads no text again. Inputs from pruned layers depend on the setting and are gathered
//! anew each time; before the first layer there is none.

use super::by_matrix::{ByMatrix, HostInputs, Inputs, MatrixJob, Needs};
use super::calibrate::{Calibration, End, Group, LayerInputs, Statistic, Walk};
use super::check;
use super::device::{DeviceInputs, Solvers};
use super::hessian::{Hessian, MOST_DAMPING, symmetric};
use super::outcome::Outcome;
use super::owl;
use super::ratios::ratios;
use super::report::{Change, MatrixReport, Pruned};
use super::sparsessm_ratios;
use super::task::{Progress, Pruning, Subject, Task, Whole};
use super::wanda::Wanda;
use crate::backend::Blocks;
use crate::method::{About, Setting};
use crate::models::{Edit, Edits, Linear, Model};
use crate::pace::{Pace, now_ms};
use crate::{Error, Result};
use std::collections::HashMap;
use std::rc::Rc;

impl<M: ByMatrix + 'static> Pruning for M {
    fn about(&self) -> &'static About {
        ByMatrix::about(self)
    }

    fn check(&self, setting: &Setting) -> Result<()> {
        ByMatrix::check(self, setting)
    }

    fn prune<'a>(&'a self, task: Task<'a>) -> Whole<'a> {
        Box::pin(prune(self, task))
    }

    fn by_matrix(&self) -> Option<&dyn ByMatrix> {
        Some(self)
    }
}

/// Works on the chosen matrices of a model. Errors: those of [`Pruning::prune`].
async fn prune(method: &dyn ByMatrix, task: Task<'_>) -> Result<Pruned> {
    let Task { subject, sequences, setting, cache, solvers, pace, progress } = task;
    let chosen = check::chosen(subject.config, setting)?;
    // What a method needs may depend on the width of a matrix, what is gathered for it does not.
    let needs = chosen.first().map_or(Needs::Nothing, |l| method.needs(setting, l.cols));
    let statistic = Statistic::of(needs);
    let own = HashMap::new();
    let mut run = Run { subject, solvers, method, setting, own, statistic, pace };
    let has_ratios = setting.knobs().any(|(id, _)| id == "ratios");
    let rule = has_ratios.then(|| setting.choice("ratios"));
    if let Some(rule) = rule.filter(|rule| *rule != "uniform") {
        progress(0, chosen.len());
        let sparsity = setting.number("sparsity");
        let ratios = match rule {
            "owl" => owl::ratios(&subject, sequences, sparsity, &chosen, pace).await?,
            "sparsessm" => {
                sparsessm_ratios::ratios(&subject, sequences, sparsity, &chosen, pace).await?
            }
            _ => run.by_trial(sequences, &chosen, cache).await?,
        };
        for (linear, ratio) in chosen.iter().zip(ratios) {
            let mut own = setting.clone();
            own.set_knob("sparsity", &ratio.to_string())?;
            run.own.insert(linear.name.clone(), own);
        }
    }
    let widths = chosen.iter().map(|l| l.cols);
    let widest = if needs >= Needs::Factor { widths.max().unwrap_or(0) } else { 0 };
    let mut pruned = Pruned::start(sequences, widest);
    match setting.choice("inputs") {
        "pruned" => run.follow_pruned(sequences, &chosen, cache, &mut pruned, progress).await?,
        _ => run.follow_dense(sequences, &chosen, cache, &mut pruned, progress).await?,
    }
    progress(chosen.len(), chosen.len());
    Ok(pruned)
}

/// One pruning of a model.
struct Run<'a> {
    subject: Subject<'a>,
    solvers: Solvers,
    method: &'a dyn ByMatrix,
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

    /// The sparsity that a trial gives every matrix.
    async fn by_trial(
        &self,
        sequences: &[Vec<u32>],
        chosen: &[Linear],
        cache: &mut Option<Calibration>,
    ) -> Result<Vec<f64>> {
        let sparsity = self.setting.number("sparsity");
        let mut trial = Setting::default_of(ByMatrix::about(&Wanda));
        trial.set_knob("sparsity", &sparsity.to_string())?;
        let (own, statistic) = (HashMap::new(), Statistic::SquareSums);
        let run = Run { method: &Wanda, setting: &trial, own, statistic, ..*self };
        let mut pruned = Pruned::start(sequences, 0);
        // The count of the pruning proper begins at 0, so that of the trial is not shown.
        let quiet: &mut Progress<'_> = &mut |_, _| {};
        run.follow_dense(sequences, chosen, cache, &mut pruned, quiet).await?;
        let errors: Vec<f64> = pruned.report.iter().map(|m| m.error).collect();
        Ok(ratios(sparsity, chosen, &errors))
    }

    async fn follow_pruned(
        &self,
        sequences: &[Vec<u32>],
        chosen: &[Linear],
        cache: &mut Option<Calibration>,
        pruned: &mut Pruned,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let Subject { device, config, weights, .. } = self.subject;
        let mut model = Model::load(device, config, weights)?;
        let mut walk = Walk::start(device, &model, self.statistic, sequences);
        let last = chosen.last().map_or(0, |l| l.layer);
        for layer in 0..=last {
            let linears = of_layer(chosen, layer);
            progress(pruned.report.len(), chosen.len());
            let (of_layer, kept) = ((layer, linears), (sequences, &mut *cache));
            let inputs = walk.inputs(device, &model, of_layer, kept, self.pace).await?;
            let edits = self.prune_layer(linears, &inputs, pruned, chosen.len(), progress).await?;
            if layer < last {
                model.reload_layer(device, &weights.with_edits(edits.clone()), layer)?;
                walk.run(device, &model, layer, self.pace).await?;
                // No sequence comes by again: what was made for the pruned layer is let go.
                model.reload_layer(device, weights, layer)?;
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
        let Subject { device, config, dense, .. } = self.subject;
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
                fresh.layers.push(Rc::new(inputs));
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
        for (at, linear) in linears.iter().enumerate() {
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
            let (after, blocks, ready) = self.prune_matrix((linear, group), &before, ready).await?;
            let milliseconds = now_ms() - start;
            let zeros = after.iter().filter(|w| **w == 0.0).count();
            let (hessian, on_gpu) = match &ready {
                Inputs::Host(host) => (host.hessian.as_ref(), false),
                Inputs::Device(_) => (None, true),
            };
            let asked = on_gpu.then(|| self.setting.number("damping"));
            let change = Change { linear, before: &before, after: &after };
            let device = self.subject.device;
            pruned.report.push(MatrixReport {
                name: linear.name.clone(),
                rows: linear.rows,
                cols: linear.cols,
                requested: self.method.requested(self.setting_of(linear)),
                achieved: zeros as f64 / after.len() as f64,
                error: change.error(device, group.calibration.as_ref()).await?.unwrap_or(0.0),
                held_out_error: change.error(device, group.held_out.as_ref()).await?,
                milliseconds,
                damping: hessian.map(|h| h.damping).or(asked),
                retries: hessian.map_or(0, |h| h.retries),
                on_gpu,
                left: None,
            });
            edits.insert(linear.name.clone(), Edit { blocks, ..Edit::new(&shape, after) });
            let is_of_group = |l: &Linear| inputs.of(l).is_some_and(|(other, _)| other == index);
            if linears[at + 1..].iter().any(is_of_group) {
                prepared.insert(index, ready);
            }
        }
        Ok(edits)
    }

    /// Statistics on the GPU where it computes; else from the device, the Hessian factored.
    async fn prepare(&self, linear: &Linear, group: &Group) -> Result<Inputs> {
        if let (Statistic::Gram, Some(sums)) = (self.statistic, &group.sums)
            && self.method.device_form(self.setting).is_some()
        {
            let damping = self.setting.number("damping");
            let found = DeviceInputs::new(self.subject.device, self.solvers, sums, damping);
            if let Some(inputs) = found {
                return Ok(Inputs::Device(Box::new(inputs)));
            }
        }
        Ok(Inputs::Host(self.prepare_on_host(linear.cols, group).await?))
    }

    async fn prepare_on_host(&self, cols: usize, group: &Group) -> Result<HostInputs> {
        let sums = self.sums(group).await?;
        if self.statistic != Statistic::Gram {
            return Ok(HostInputs { cols, square_sums: sums, hessian: None });
        }
        let gram = symmetric(sums, cols);
        let square_sums = (0..cols).map(|j| gram[j * cols + j]).collect();
        let damping = self.setting.number("damping");
        let hessian = Some(Hessian::new(&gram, cols, damping, self.pace).await?);
        Ok(HostInputs { cols, square_sums, hessian })
    }

    /// A group's statistic in f64, from where it lies.
    async fn sums(&self, group: &Group) -> Result<Vec<f64>> {
        let sums = match &group.sums {
            Some(sums) => self.subject.device.read(sums).await?,
            None => Vec::new(),
        };
        Ok(sums.into_iter().map(f64::from).collect())
    }

    /// With the inverse, if the method wants it for this matrix.
    async fn complete(&self, linear: &Linear, inputs: &mut HostInputs) -> Result<()> {
        let wants = self.method.needs(self.setting_of(linear), linear.cols) == Needs::Inverse;
        if let (true, Some(hessian)) = (wants, &mut inputs.hessian) {
            hessian.invert(self.pace).await?;
        }
        Ok(())
    }

    /// Prunes; on the CPU where the GPU's f32 does not hold, with more damping as long as a system cannot be solved.
    async fn prune_matrix(
        &self,
        (linear, group): (&Linear, &Group),
        before: &[f32],
        mut ready: Inputs,
    ) -> Result<(Vec<f32>, Option<Blocks>, Inputs)> {
        loop {
            let (mut after, mut blocks) = (before.to_vec(), None);
            let setting = self.setting_of(linear);
            let job =
                MatrixJob { weights: &mut after, blocks: &mut blocks, setting, pace: self.pace };
            let outcome = match &mut ready {
                Inputs::Host(host) => {
                    self.complete(linear, host).await?;
                    self.method.on_host(job, host).await?
                }
                Inputs::Device(device) => {
                    let form = self.method.device_form(self.setting);
                    form.expect("a form for which inputs were made").on_device(job, device).await?
                }
            };
            if outcome == Outcome::Done {
                if after.iter().all(|w| w.is_finite()) {
                    return Ok((after, blocks, ready));
                }
                return Err(not_finite(linear));
            }
            match &mut ready {
                Inputs::Device(_) => {
                    ready = Inputs::Host(self.prepare_on_host(linear.cols, group).await?);
                }
                Inputs::Host(HostInputs { hessian: Some(hessian), cols, .. })
                    if hessian.damping < MOST_DAMPING =>
                {
                    let gram = symmetric(self.sums(group).await?, *cols);
                    *hessian = hessian.raised(&gram, self.pace).await?;
                }
                Inputs::Host(_) => return Err(not_finite(linear)),
            }
        }
    }
}

fn not_finite(linear: &Linear) -> Error {
    let problem = "gives pruned weights that are not finite; are the weights of the file finite?";
    Error::tensor("model.safetensors", &linear.name, problem)
}

//! Structured pruning: whole channels, heads or layers go, what is left is a smaller dense model of the same family.
//!
//! Channels and heads: every layer loses equally many. A unit's score is the sum over the matrices that read it of
//! ½ Σ_rows w_P ((H⁻¹)_PP)⁻¹ w_Pᵀ, its loss if it went alone, as a share of the matrix's output energy; scored once,
//! not after every removal. The readers' weights that stay get the optimum for the whole removed set (`shared`).
//! State columns: scored by what is written and read with them, or by the state itself (`states`), not compensated.
//! Layers: those go whose output points most nearly where their input does.
//! Shapes: `units`. Sources: [`ABOUT`].

use super::calibrate::{Calibration, End, LayerInputs, Statistic, Walk};
use super::gated_norm::norm_change;
use super::hessian::{Hessian, MOST_DAMPING, symmetric};
use super::knobs::{DAMPING, INPUTS_PRUNED, SEQUENCES};
use super::linalg::turn;
use super::report::{Change, MatrixReport, Pruned, Smaller};
use super::shared;
use super::states::{self, SCORE};
use super::task::{Progress, Pruning, Subject, Task, Whole};
use super::units::{Part, Units, quota};
use crate::backend::Tensor;
use crate::config::{FAMILIES, ModelConfig};
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::{Edits, Linear, Model, Names, linears};
use crate::order::mark_lowest;
use crate::pace::{Pace, now_ms};
use crate::{Error, Result};
use std::rc::Rc;

pub struct Structured;

static ABOUT: About = About {
    id: "structured",
    label: "Structured",
    summary: "Takes whole channels, heads or layers out. The matrices that are left are smaller and dense, so reading and decoding both become faster.",
    source: "Ours: MRP (arXiv 2410.15567) with one removed set for all rows of the matrix that reads the units. Layers: ShortGPT's block influence (arXiv 2403.03853). States: ours, GHOST (arXiv 2602.11408) or SparseSSM (arXiv 2506.09613).",
    knobs: &[
        Knob {
            id: "unit",
            label: "Unit",
            help: "Channels: Mamba-1's inner channels, Mamba-2's heads, MLP channels of Llama and GPT-NeoX. Heads: Llama's key/value heads with their queries, Mamba-2's heads. States: state columns of a Mamba. Layers: whole ones",
            kind: KnobKind::Choice {
                options: &[
                    ("channels", "channels"),
                    ("heads", "heads"),
                    ("states", "state columns"),
                    ("layers", "layers"),
                ],
                default: "channels",
            },
        },
        Knob {
            id: "share",
            label: "Share",
            help: "Share of the units that go, the same in every layer; one stays at least",
            kind: KnobKind::Number { min: 0.0, max: 0.95, step: 0.05, default: 0.5 },
        },
        SCORE,
        Knob {
            id: "compensate",
            label: "Compensate",
            help: "The matrices that read the units make up for those that went, as well as a linear layer can",
            kind: KnobKind::Choice { options: &[("yes", "yes"), ("no", "no")], default: "yes" },
        },
        DAMPING,
        INPUTS_PRUNED,
        SEQUENCES,
    ],
    families: &FAMILIES,
};

impl Pruning for Structured {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn prune<'a>(&'a self, task: Task<'a>) -> Whole<'a> {
        Box::pin(prune(task))
    }
}

/// Errors: those of [`Pruning::prune`]; also a unit that the architecture does not have.
async fn prune(task: Task<'_>) -> Result<Pruned> {
    let Task { subject, sequences, setting, cache, pace, progress, .. } = task;
    let cut = Cut { subject, setting, pace, share: setting.number("share") };
    match setting.choice("unit") {
        "layers" => cut.layers(sequences, progress).await,
        unit => {
            let units = Units::of(subject.config, unit)?;
            cut.width(&units, (sequences, cache), progress).await
        }
    }
}

/// One pruning.
struct Cut<'a> {
    subject: Subject<'a>,
    setting: &'a Setting,
    pace: &'a Pace,
    share: f64,
}

/// A matrix that reads the units of a layer.
struct Reader<'a> {
    part: &'a Part,
    linear: &'a Linear,
    gram: Vec<f64>,
    /// With its inverse.
    hessian: Hessian,
    before: Vec<f32>,
    /// f64, columns of dead inputs 0.
    rows: Vec<f64>,
    /// Of each unit.
    losses: Vec<f64>,
}

impl Cut<'_> {
    async fn width(
        &self,
        units: &Units,
        (sequences, cache): (&[Vec<u32>], &mut Option<Calibration>),
        progress: &mut Progress<'_>,
    ) -> Result<Pruned> {
        let Subject { device, config, weights, dense } = self.subject;
        let (count, n_layer) = (units.count, config.n_layer());
        let (small, fields) = units.shrink(config, count - units.quota(self.share) * units.groups);
        let follows_pruned = self.setting.choice("inputs") == "pruned";
        let readers = units.parts.iter().filter(|p| p.reads);
        let mut pruned = Pruned::start(sequences, readers.map(|p| p.shape[1]).max().unwrap_or(0));
        let mut walk = Walk::start(device, dense, Statistic::Gram, sequences);
        for layer in 0..n_layer {
            progress(layer, n_layer);
            let named = |l: &Linear| units.parts.iter().any(|p| units.name(layer, p) == l.name);
            let linears: Vec<Linear> = linears(config).into_iter().filter(named).collect();
            let feeds = |l: &&Linear| units.reads(layer, &l.name);
            let readers: Vec<Linear> = linears.iter().filter(feeds).cloned().collect();
            let (inputs, states) = if units.has_readers() {
                let gathered = if follows_pruned {
                    let (of_layer, kept) = ((layer, &readers[..]), (sequences, &mut *cache));
                    walk.inputs(device, dense, of_layer, kept, self.pace).await?
                } else {
                    let to_end = (&readers[..], End::OfLayer);
                    Rc::new(walk.gather(device, dense, layer, to_end, self.pace).await?)
                };
                (gathered, None)
            } else {
                let score = self.setting.choice("score");
                let (rows, gone) = (walk.rows(), units.quota(self.share));
                let scores = states::by(score, gone, &self.subject, layer, rows, self.pace).await?;
                (Rc::default(), Some(scores))
            };
            let report = &mut pruned.report;
            let edits = self.layer(units, layer, &linears, (&inputs, states), report).await?;
            let goes_on = layer + 1 < n_layer;
            if goes_on && follows_pruned {
                // The small layer on its own, as a model of one layer.
                let only = weights.with_edits(edits.clone()).with_layers(&[layer]);
                let model = Model::load(device, &small.clone().with_layers(&[layer]), &only)?;
                walk.run(device, &model, 0, self.pace).await?;
            } else if goes_on && !units.has_readers() {
                walk.run(device, dense, layer, self.pace).await?;
            }
            pruned.edits.extend(edits);
        }
        progress(n_layer, n_layer);
        pruned.smaller = Some(Smaller { config: small, fields, layers: (0..n_layer).collect() });
        Ok(pruned)
    }

    /// Chooses the units of one layer, cuts its tensors, reports.
    async fn layer(
        &self,
        units: &Units,
        layer: usize,
        linears: &[Linear],
        (inputs, states): (&LayerInputs, Option<Vec<f64>>),
        report: &mut Vec<MatrixReport>,
    ) -> Result<Edits> {
        let start = now_ms();
        let mut readers = Vec::new();
        for part in units.parts.iter().filter(|p| p.reads) {
            let name = units.name(layer, part);
            let linear =
                linears.iter().find(|l| l.name == name).expect("readers are linear layers");
            readers.push(self.reader(units, part, linear, inputs).await?);
        }
        let scores = states.unwrap_or_else(|| losses(units.count, &readers));
        let removed = choose(units, self.share, &scores);
        let mut edits = self.cut_rows(units, layer, &removed, &readers)?;
        for linear in linears {
            let mut line = self.line(linear);
            if let Some(at) = readers.iter().position(|r| std::ptr::eq(r.linear, linear)) {
                let mut reader = readers.swap_remove(at);
                let after = self.refit(&mut reader, units.width, &removed).await?;
                edits.insert(linear.name.clone(), reader.part.cut(&after, &removed));
                let change = Change { linear, before: &reader.before, after: &after };
                let (device, group) = (self.subject.device, inputs.of(linear).map(|(_, g)| g));
                let calibration = group.and_then(|g| g.calibration.as_ref());
                let held_out = group.and_then(|g| g.held_out.as_ref());
                line.milliseconds = now_ms() - start;
                line.error = change.error(device, calibration).await?.unwrap_or(0.0);
                line.held_out_error = change.error(device, held_out).await?;
                line.damping = Some(reader.hessian.damping);
                line.retries = reader.hessian.retries;
            }
            let left = edits.get(&linear.name).map_or([0, 0], |e| [e.shape[0], e.shape[1]]);
            report.push(line.left_with(left));
        }
        Ok(edits)
    }

    /// Every tensor of a layer that is no reader.
    fn cut_rows(
        &self,
        units: &Units,
        layer: usize,
        removed: &[bool],
        readers: &[Box<Reader<'_>>],
    ) -> Result<Edits> {
        let mut edits = Edits::new();
        for part in units.parts.iter().filter(|p| !p.reads) {
            let name = units.name(layer, part);
            let mut values = self.subject.weights.values(&name, &part.shape)?;
            if let (true, [reader]) = (part.is_gate_norm, readers) {
                let size = values.len() / units.groups;
                for (group, values) in values.chunks_mut(size).enumerate() {
                    let change = norm_change(values, group * size, &reader.gram, removed);
                    values.iter_mut().for_each(|w| *w *= change);
                }
            }
            edits.insert(name, part.cut(&values, removed));
        }
        Ok(edits)
    }

    /// Without errors, which rows that merely go do not have.
    fn line(&self, linear: &Linear) -> MatrixReport {
        MatrixReport {
            name: linear.name.clone(),
            rows: linear.rows,
            cols: linear.cols,
            requested: self.share,
            achieved: 0.0,
            error: 0.0,
            held_out_error: None,
            milliseconds: 0.0,
            damping: None,
            retries: 0,
            on_gpu: false,
            left: None,
        }
    }

    async fn reader<'a>(
        &self,
        units: &Units,
        part: &'a Part,
        linear: &'a Linear,
        inputs: &LayerInputs,
    ) -> Result<Box<Reader<'a>>> {
        let n = linear.cols;
        let Some(sums) = inputs.of(linear).and_then(|(_, group)| group.sums.as_ref()) else {
            return Err(Error::input("calibration", "no text", "at least one sequence"));
        };
        let sums = self.subject.device.read(sums).await?;
        let gram = symmetric(sums.into_iter().map(f64::from).collect(), n);
        let hessian = Hessian::new(&gram, n, self.setting.number("damping"), self.pace).await?;
        let before = self.subject.weights.values(&linear.name, &part.shape)?;
        if before.iter().any(|w| !w.is_finite()) {
            let problem = "holds values that are not finite";
            return Err(Error::tensor("model.safetensors", &linear.name, problem));
        }
        let dead = hessian.dead.iter().cycle();
        let rows = before.iter().zip(dead).map(|(w, dead)| if *dead { 0.0 } else { f64::from(*w) });
        let (rows, losses) = (rows.collect(), Vec::new());
        let mut reader = Box::new(Reader { part, linear, gram, hessian, before, rows, losses });
        reader.hessian.invert(self.pace).await?;
        let width = n / units.count;
        loop {
            match shared::losses(&reader.rows, width, &reader.hessian, self.pace).await? {
                Some(losses) => reader.losses = losses,
                None => {
                    reader.raise(self.pace).await?;
                    continue;
                }
            }
            return Ok(reader);
        }
    }

    /// The weights with removed columns 0.
    async fn refit(
        &self,
        reader: &mut Reader<'_>,
        width: usize,
        removed: &[bool],
    ) -> Result<Vec<f32>> {
        let columns: Vec<bool> = (0..reader.hessian.n).map(|j| removed[j / width]).collect();
        if self.setting.choice("compensate") == "no" || !removed.contains(&true) {
            let kept = reader.before.iter().zip(columns.iter().cycle());
            return Ok(kept.map(|(w, gone)| if *gone { 0.0 } else { *w }).collect());
        }
        loop {
            let mut rows = reader.rows.clone();
            if shared::refit(&mut rows, &columns, &reader.hessian, self.pace).await? {
                return Ok(rows.iter().map(|w| *w as f32).collect());
            }
            reader.raise(self.pace).await?;
        }
    }

    async fn layers(&self, sequences: &[Vec<u32>], progress: &mut Progress<'_>) -> Result<Pruned> {
        let Subject { device, config, dense, .. } = self.subject;
        let n_layer = config.n_layer();
        if config.layers.iter().any(|layer| *layer != config.layers[0]) {
            let expected = "channels: the layers of this model differ, and a number of layers does not say which stay";
            return Err(Error::input("unit", "layers", expected));
        }
        // Sums that nobody reads, so that every sequence is walked through.
        let mut walk = Walk::start(device, dense, Statistic::SquareSums, sequences);
        let mut scores = Vec::new();
        for layer in 0..n_layer {
            progress(layer, n_layer);
            let before: Vec<Tensor> = walk.rows().cloned().collect();
            walk.run(device, dense, layer, self.pace).await?;
            let mut turns = Vec::new();
            for (x, y) in before.iter().zip(walk.rows()) {
                let (x_values, y_values) = (device.read(x).await?, device.read(y).await?);
                let rows = x_values.chunks_exact(x.cols()).zip(y_values.chunks_exact(x.cols()));
                turns.extend(rows.map(|(x, y)| turn(x, y)));
            }
            scores.push(turns.iter().sum::<f64>() / turns.len().max(1) as f64);
        }
        progress(n_layer, n_layer);
        let mut removed = vec![false; n_layer];
        mark_lowest(&scores, quota(n_layer, self.share), &mut removed);
        let report = linears(config).into_iter().filter(|l| removed[l.layer]);
        let report: Vec<MatrixReport> = report
            .map(|l| MatrixReport { error: scores[l.layer], ..self.line(&l).left_with([0, 0]) })
            .collect();
        let layers: Vec<usize> = (0..n_layer).filter(|&l| !removed[l]).collect();
        let config: ModelConfig = config.clone().with_layers(&layers);
        let fields = vec![(Names::of(config.family).n_layer_field, layers.len() as f64)];
        let smaller = Some(Smaller { config, fields, layers });
        Ok(Pruned { report, smaller, ..Pruned::start(sequences, 0) })
    }
}

impl Reader<'_> {
    async fn raise(&mut self, pace: &Pace) -> Result<()> {
        if self.hessian.damping >= MOST_DAMPING {
            let problem =
                "cannot be made up for at any damping; are the weights of the file finite?";
            return Err(Error::tensor("model.safetensors", &self.linear.name, problem));
        }
        self.hessian = self.hessian.raised(&self.gram, pace).await?;
        self.hessian.invert(pace).await
    }

    /// The loss of losing everything.
    fn energy(&self) -> f64 {
        let rows = self.rows.chunks_exact(self.hessian.n);
        (rows.map(|row| self.hessian.loss(row)).sum::<f64>() / 2.0).max(f64::MIN_POSITIVE)
    }
}

/// Of every unit the losses of its readers.
fn losses(count: usize, readers: &[Box<Reader<'_>>]) -> Vec<f64> {
    let mut scores = vec![0.0; count];
    for reader in readers {
        // Of one reader alone it would change no order, and takes as long as the losses.
        let energy = if readers.len() > 1 { reader.energy() } else { 1.0 };
        scores.iter_mut().zip(&reader.losses).for_each(|(s, loss)| *s += loss / energy);
    }
    scores
}

/// The units of lowest score, equally many in every group; ties fall to the lower index.
fn choose(units: &Units, share: f64, scores: &[f64]) -> Vec<bool> {
    let mut removed = vec![false; units.count];
    let size = units.count / units.groups;
    for (scores, removed) in scores.chunks(size).zip(removed.chunks_mut(size)) {
        mark_lowest(scores, units.quota(share), removed);
    }
    removed
}

#[cfg(test)]
mod tests;

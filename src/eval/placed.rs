//! A model that stands on a device, with what every measurement of it needs; and its pruned form.

use super::arm::{Arm, filler};
use super::decode::{Decode, count};
use crate::Result;
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::method::Setting;
use crate::models::{Execution, Model, Weights};
use crate::pace::Pace;
use crate::prune::{self, Calibration, MatrixReport, Progress, Subject};
use crate::tokenizer::Tokenizer;
use std::rc::Rc;

/// A dense model on a device.
pub struct Placed<'a> {
    /// Where the model and its pruned forms lie.
    pub device: &'a Device,
    /// Of the dense model.
    pub config: &'a ModelConfig,
    /// The checkpoint that pruning edits.
    pub weights: &'a Weights,
    /// The model's.
    pub tokenizer: &'a Tokenizer,
    /// The dense model on the device.
    pub model: Rc<Model>,
    /// Which ids are filler, see [`filler`].
    filler: Option<Vec<bool>>,
    /// Of its arms.
    pace: Pace,
}

/// The compressed side's model.
#[derive(Clone)]
pub struct PrunedModel {
    /// On the same device; the dense one itself where nothing is pruned.
    pub model: Rc<Model>,
    /// Another than the baseline's where the model became smaller.
    pub config: Rc<ModelConfig>,
    /// What was done to every matrix; empty without a pruning.
    pub report: Vec<MatrixReport>,
    /// What a decoded token reads; absent without a pruning.
    pub decode: Option<Decode>,
}

impl<'a> Placed<'a> {
    /// All four belong together: `model` was loaded from `weights` with `config` onto `device`.
    pub fn new(
        device: &'a Device,
        config: &'a ModelConfig,
        weights: &'a Weights,
        tokenizer: &'a Tokenizer,
        model: Rc<Model>,
    ) -> Placed<'a> {
        let filler = filler(tokenizer);
        let pace = Pace::default();
        Placed { device, config, weights, tokenizer, model, filler, pace }
    }

    /// With arms that `pace` can cancel in the middle of a text.
    pub fn at(self, pace: &Pace) -> Placed<'a> {
        Placed { pace: pace.clone(), ..self }
    }

    /// The dense model with a reduction, or as it is.
    pub fn arm<'b>(&'b self, reduction: Option<&'b Setting>) -> Arm<'b> {
        Arm {
            device: self.device,
            config: self.config,
            model: &self.model,
            reduction,
            filler: self.filler.as_deref(),
            pace: &self.pace,
        }
    }

    /// A pruned form of the model with a reduction, or without one.
    pub fn compressed<'b>(
        &'b self,
        pruned: &'b PrunedModel,
        reduction: Option<&'b Setting>,
    ) -> Arm<'b> {
        Arm { model: &pruned.model, config: &pruned.config, ..self.arm(reduction) }
    }

    /// The model as it is, where nothing is pruned.
    pub fn unpruned(&self) -> PrunedModel {
        let (model, config) = (self.model.clone(), Rc::new(self.config.clone()));
        PrunedModel { model, config, report: Vec::new(), decode: None }
    }

    /// Prunes the model and loads what is left as the setting wants it run.
    ///
    /// `sequences` are those of [`super::calibration`]; `kept` is an empty place at first, and whatever this function left
    /// there the next time. Errors: cancelled, a setting that cannot run, inputs that are not finite, or the GPU failed.
    pub async fn pruned(
        &self,
        setting: &Setting,
        sequences: &[Vec<u32>],
        kept: &mut Option<Calibration>,
        pace: &Pace,
        progress: &mut Progress<'_>,
    ) -> Result<PrunedModel> {
        let Placed { device, config, weights, model: dense, .. } = self;
        let subject = Subject { device, config, weights, dense };
        let pruned = prune::prune(&subject, sequences, setting, kept, pace, progress).await?;
        let execution = execution(setting);
        let mut edited = weights.with_edits(pruned.edits).executed(execution);
        let mut left = self.config.clone();
        let is_smaller = pruned.smaller.is_some();
        if let Some(smaller) = pruned.smaller {
            edited = edited.with_layers(&smaller.layers);
            left = smaller.config;
        }
        let model = Rc::new(Model::load(device, &left, &edited)?);
        let sides = [(self.config, self.weights), (&left, &edited)];
        let mut decode = count(sides, &model, pruned.report.len(), execution, is_smaller);
        if let Some(warning) = pruned.warning {
            decode.text = format!("{warning} {}", decode.text);
        }
        let (config, report) = (Rc::new(left), pruned.report);
        Ok(PrunedModel { model, config, report, decode: Some(decode) })
    }
}

impl PrunedModel {
    /// Relative squared output error on the held-out calibration sequence, mean over matrices by size; `None` where a
    /// matrix has none.
    pub fn held_out_error(&self) -> Option<f64> {
        let size = |m: &MatrixReport| (m.rows * m.cols) as f64;
        let all: f64 = self.report.iter().map(size).sum();
        self.report.iter().map(|m| m.held_out_error.map(|e| e * size(m) / all)).sum()
    }
}

/// How a pruning wants its matrices to be run.
fn execution(setting: &Setting) -> Execution {
    match setting.knobs().any(|(id, value)| id == "run" && value.is("packed")) {
        true => Execution::Packed,
        false => Execution::Dense,
    }
}

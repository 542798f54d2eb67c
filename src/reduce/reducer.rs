//! The hook that runs a plan inside a forward pass, and the record of what it did.

use super::asked::surprisal;
use super::{
    Edges, Input, Job, Place, Plan, Schedule, TokenReduction, Top, check, method_of, needs_filler,
    schedule, score,
};
use crate::backend::{Device, Ids, Tensor};
use crate::config::ModelConfig;
use crate::kernels::rows::{concat_rows, gather_ids, gather_rows};
use crate::kernels::token_links::token_links;
use crate::kernels::token_merge::{Merging, token_merge};
use crate::kernels::token_sizes::token_sizes;
use crate::kernels::token_top::token_top;
use crate::method::Setting;
use crate::models::{Hooks, LayerOutput, Model, Reduced, SsmInputs};
use crate::{Error, Result, Rng};
use serde::Serialize;

/// Shortens the sequence of one forward pass over a context of a known number of tokens.
///
/// Made for one pass: the tokens that follow run with [`crate::models::NoHooks`] from the saved state, so that
/// nothing that is scored has been seen by the reduction.
pub struct Reducer {
    method: &'static dyn TokenReduction,
    setting: Setting,
    config: ModelConfig,
    /// Of the context.
    tokens: usize,
    steps: Vec<(usize, usize)>,
    /// Tokens entering each layer.
    lengths: Vec<usize>,
    done: Vec<(usize, Plan)>,
    /// Scores of the oracle for the rows that are left `[tokens, 1]`.
    oracle: Option<Tensor>,
    /// Surprisal of the rows that are left `[tokens, 1]`, where the method needs it.
    surprisal: Option<Tensor>,
    /// How many tokens the rows that are left stand for `[tokens, 1]`, where attention weighs by it.
    sizes: Option<Tensor>,
    salt: u64,
}

/// What happened after one layer, in positions of the original sequence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerTrace {
    /// From 0; the next layer is the first that sees fewer tokens.
    pub layer: usize,
    /// What the method scored every position by that entered, in their order (kept, pruned and merged together);
    /// empty where it scores nothing.
    pub scores: Vec<f32>,
    /// Positions that go on, increasing.
    pub kept: Vec<u32>,
    /// Positions that were dropped from both branches, increasing.
    pub pruned: Vec<u32>,
    /// Positions that were folded into another one in at least one branch, most similar first.
    pub merged: Vec<Merge>,
}

/// One position folded into another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Merge {
    /// The position that goes.
    pub source: u32,
    /// The position that stays and takes it in.
    pub target: u32,
    /// Folded in the layer's own output; otherwise dropped there.
    pub hidden: bool,
    /// Folded in the stream before the layer; otherwise dropped there.
    pub residual: bool,
}

impl Reducer {
    /// A reduction for a context of `context_tokens` tokens.
    ///
    /// Errors: a setting that this model cannot run ([`check`]).
    pub fn new(config: &ModelConfig, setting: &Setting, context_tokens: usize) -> Result<Reducer> {
        check(config, setting)?;
        let method = method_of(setting)?;
        let steps = Schedule::resolve(config, setting, context_tokens);
        let n_layer = config.n_layer();
        let lengths = schedule::lengths(n_layer, (method.place(), &steps), context_tokens);
        let (setting, config) = (setting.clone(), config.clone());
        Ok(Reducer {
            method,
            setting,
            config,
            tokens: context_tokens,
            steps,
            lengths,
            done: Vec::new(),
            oracle: None,
            surprisal: None,
            sizes: None,
            salt: 0,
        })
    }

    /// Lets the random controls draw anew for this context (FNV-1a over its ids).
    pub fn with_salt_of(mut self, ids: &[u32]) -> Reducer {
        let mix = |hash: u64, id: &u32| (hash ^ u64::from(*id)).wrapping_mul(0x0100_0000_01b3);
        self.salt = ids.iter().fold(0xcbf2_9ce4_8422_2325, mix);
        self
    }

    /// Tells the oracle which tokens of the context are filler. Other methods never see it.
    ///
    /// Errors: the setting asks for the oracle and the task marks nothing.
    pub fn with_filler(mut self, device: &Device, filler: Option<&[bool]>) -> Result<Reducer> {
        if !needs_filler(&self.setting) {
            return Ok(self);
        }
        let Some(filler) = filler else {
            let expected = "a task that knows which tokens are filler: a recall model";
            return Err(Error::input("score", "oracle", expected));
        };
        assert_eq!(filler.len(), self.tokens, "a mark for every token");
        // Random within the two groups, so that the order of the text decides nothing.
        let mut rng = Rng::new(self.salt);
        let score = |&filler: &bool| rng.uniform() + if filler { 0.0 } else { 2.0 };
        let scores: Vec<f32> = filler.iter().map(score).collect();
        self.oracle = Some(device.tensor(scores.len(), 1, &scores));
        Ok(self)
    }

    /// The tokens of the context that the model is to read: all of them, but for a method at the input.
    pub fn read(&mut self, device: &Device, model: &Model, ids: &Ids) -> Ids {
        assert_eq!(ids.len(), self.tokens, "a Reducer runs over the context it was made for");
        let Some(&step) = self.steps.first() else { return ids.clone() };
        let input = Input { device, model, ids };
        if self.method.needs_surprisal(&self.setting) {
            self.surprisal = Some(surprisal(&input));
        }
        if self.method.place() != Place::Input {
            return ids.clone();
        }
        let job = self.job(ids.len(), step);
        let plan = self.method.plan_of_input(&input, &job, &self.setting);
        let left = gather_ids(device, ids, &plan.keep);
        self.keep(step, plan);
        left
    }

    /// What is to be done where `tokens` rows become as many as the step says.
    fn job(&self, tokens: usize, step: (usize, usize)) -> Job {
        let mut job = Schedule::job(&self.config, &self.setting, tokens, step);
        job.oracle.clone_from(&self.oracle);
        job.surprisal.clone_from(&self.surprisal);
        job.salt = self.salt;
        job
    }

    /// Keeps a plan for the trace.
    fn keep(&mut self, (layer, kept): (usize, usize), plan: Plan) {
        assert_eq!(plan.keep.len(), kept, "{} kept another number", self.setting.about.id);
        self.done.push((layer, plan));
    }

    /// Tokens kept by a method of this place at `layer`, if it shortens the sequence there.
    fn kept(&self, place: Place, layer: usize) -> Option<usize> {
        if self.method.place() != place {
            return None;
        }
        self.steps.iter().find(|(at, _)| *at == layer).map(|(_, kept)| *kept)
    }

    /// Counts the tokens that the rows kept by `plan` of `rows` stand for; gives their logarithms `[kept, 1]`.
    fn resize(&mut self, device: &Device, rows: usize, plan: &Plan) -> Tensor {
        let ones = || device.tensor(rows, 1, &vec![1.0; rows]);
        let sizes = self.sizes.take().unwrap_or_else(ones);
        let (sizes, log_sizes) = match &plan.edges {
            // What lives on in the residual branch is what the next layer's keys are made of.
            Some(edges) => {
                let links = token_links(device, &plan.keep, &edges.target);
                let (source, merged) = (&edges.source, edges.merged_residual);
                let merging = Merging { source, links: &links, merged };
                token_sizes(device, &sizes, &plan.keep, Some(merging))
            }
            None => token_sizes(device, &sizes, &plan.keep, None),
        };
        self.sizes = Some(sizes);
        log_sizes
    }

    /// Reads back which positions were kept, dropped and folded, for every layer that shortened the sequence.
    pub async fn trace(&self, device: &Device) -> Result<Vec<LayerTrace>> {
        let mut positions: Vec<u32> = (0..self.tokens as u32).collect();
        let mut traces = Vec::with_capacity(self.done.len());
        for (layer, plan) in &self.done {
            let trace = trace_of(device, *layer, plan, &positions).await?;
            positions.clone_from(&trace.kept);
            traces.push(trace);
        }
        Ok(traces)
    }
}

impl Hooks for Reducer {
    fn wants_layer(&self, layer: usize, tokens: usize) -> bool {
        let expected = self.lengths[layer];
        // Going on unreduced would be reported as a compressed run.
        assert_eq!(tokens, expected, "a Reducer runs once, over the context it was made for");
        self.kept(Place::AfterLayer, layer).is_some()
    }

    fn wants_scan(&self, layer: usize, tokens: usize) -> bool {
        let expected = self.lengths[layer];
        assert_eq!(tokens, expected, "a Reducer runs once, over the context it was made for");
        self.kept(Place::BeforeScan, layer).is_some()
    }

    fn before_scan(&mut self, device: &Device, layer: usize, inputs: SsmInputs<'_>) -> Option<Ids> {
        let step = (layer, self.kept(Place::BeforeScan, layer)?);
        let job = self.job(inputs.x.rows, step);
        let plan = self.method.plan_of_scan(device, &inputs, &job, &self.setting);
        let keep = plan.keep.clone();
        self.keep(step, plan);
        Some(keep)
    }

    fn reduce(&mut self, device: &Device, output: LayerOutput<'_>) -> Option<Reduced> {
        let step = (output.layer, self.kept(Place::AfterLayer, output.layer)?);
        #[cfg(all(test, not(target_arch = "wasm32")))]
        super::seen::note(device, &output, self.salt);
        let job = self.job(output.hidden.rows(), step);
        let plan = self.method.plan(device, &output, &job, &self.setting);
        let (hidden, residual) = apply(device, &plan, &output);
        let keep = plan.keep.clone();
        for scores in [&mut self.oracle, &mut self.surprisal] {
            *scores = scores.take().map(|scores| gather_rows(device, &scores, &keep));
        }
        let log_sizes = score::is_proportional(&self.setting)
            .then(|| self.resize(device, output.hidden.rows(), &plan));
        self.keep(step, plan);
        Some(Reduced { hidden, residual, keep, log_sizes })
    }
}

/// Both branches after a plan: `[kept, d_model]` each.
pub(super) fn apply(device: &Device, plan: &Plan, output: &LayerOutput<'_>) -> (Tensor, Tensor) {
    let gather = |x: &Tensor, merging| token_merge(device, x, &plan.keep, merging);
    let Some(Edges { source, target, merged_hidden, merged_residual, top }) = &plan.edges else {
        return (gather(output.hidden, None), gather(output.residual, None));
    };
    let links = token_links(device, &plan.keep, target);
    let merge = |x, merged| gather(x, Some(Merging { source, links: &links, merged }));
    let hidden = match top {
        None => merge(output.hidden, *merged_hidden),
        Some(Top { count, row, slot }) => {
            let new = token_top(device, output.hidden, source, *count, *row);
            replace_row(device, &gather(output.hidden, None), *slot, &new)
        }
    };
    (hidden, merge(output.residual, *merged_residual))
}

/// `x` with another row in place of row `at`.
fn replace_row(device: &Device, x: &Tensor, at: usize, row: &Tensor) -> Tensor {
    let head = match at {
        0 => row.clone(),
        at => concat_rows(device, x.row_range(0, at), row),
    };
    match x.rows() - at - 1 {
        0 => head,
        rest => concat_rows(device, &head, x.row_range(at + 1, rest)),
    }
}

async fn trace_of(
    device: &Device,
    layer: usize,
    plan: &Plan,
    positions: &[u32],
) -> Result<LayerTrace> {
    let position = |row: u32| positions[row as usize];
    let keep = device.read_ids(&plan.keep).await?;
    let mut gone = vec![true; positions.len()];
    keep.iter().for_each(|&row| gone[row as usize] = false);
    let mut merged = Vec::new();
    if let Some(edges) = &plan.edges {
        let source = device.read_ids(&edges.source).await?;
        let target = device.read_ids(&edges.target).await?;
        for (e, (&source, &target)) in source.iter().zip(&target).enumerate() {
            let (hidden, residual) = (e < edges.merged_hidden, e < edges.merged_residual);
            if hidden || residual {
                gone[source as usize] = false;
                let (source, target) = (position(source), position(target));
                merged.push(Merge { source, target, hidden, residual });
            }
        }
    }
    let pruned = (0..).zip(&gone).filter(|(_, gone)| **gone).map(|(row, _)| position(row));
    let pruned = pruned.collect();
    let scores = match &plan.scores {
        Some(scores) => device.read(scores).await?,
        None => Vec::new(),
    };
    let kept = keep.iter().map(|&row| position(row)).collect();
    Ok(LayerTrace { layer, scores, kept, pruned, merged })
}

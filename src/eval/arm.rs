//! One side of a comparison: a model, and the reduction its contexts go through.
//!
//! The protocol (docs/token-reduction.md): only the context is reduced; everything that is scored runs
//! unreduced from the saved state, so no decision can see a scored token and labels cannot slip.

use crate::backend::{Device, Ids, Tensor};
use crate::config::ModelConfig;
use crate::kernels::rows::{concat_rows, copy};
use crate::method::Setting;
use crate::models::{Hooks, Model, NoHooks, State, Wanted, check_sequence, piece_tokens};
use crate::pace::Pace;
use crate::reduce::{LayerTrace, Reducer};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// A model with the token reduction that belongs to it.
pub struct Arm<'a> {
    /// Where the model lies and everything of this arm is computed.
    pub device: &'a Device,
    /// Of `model`, which pruning may have made smaller than the checkpoint's.
    pub config: &'a ModelConfig,
    /// Dense or pruned; several arms may share one.
    pub model: &'a Model,
    /// What contexts go through; `None` reads every token in every layer.
    pub reduction: Option<&'a Setting>,
    /// Which ids of the vocabulary are filler; only the oracle control looks at it. From [`filler`].
    pub filler: Option<&'a [bool]>,
    /// Asked between two layers of what is read for a score, so that a long text can be cancelled.
    pub pace: &'a Pace,
}

/// Marks the filler tokens `n00`, `n01` .. of a task's vocabulary; `None` for any other.
pub fn filler(tokenizer: &Tokenizer) -> Option<Vec<bool>> {
    // A vocabulary of prose may have such a token by chance; those of the task models have less than 100 words.
    let size = Some(tokenizer.vocab_size()).filter(|&n| n < 256)?;
    let is_filler = |id: usize| {
        let text = tokenizer.decode(&[id as u32]);
        let digits = text.trim().strip_prefix('n');
        digits.is_some_and(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_digit()))
    };
    Some((0..size).map(is_filler).collect::<Vec<_>>()).filter(|marks| marks.contains(&true))
}

/// A context that has been read: the state after it and the last hidden row, which predicts what follows.
#[derive(Clone)]
pub struct Context {
    /// After the whole context; `next_position` counts removed tokens too.
    pub state: State,
    last: Tensor, // [1, d_model]
}

impl Arm<'_> {
    /// Reads a context (at least one token), reduced if this arm reduces. Only records work, and all of it at once, as
    /// what is timed wants it.
    ///
    /// Errors: a token that the vocabulary does not have, or a reduction that cannot run on this model.
    pub fn read(&self, ids: &[u32]) -> Result<Context> {
        let (pieces, mut hooks) = self.begin(ids)?;
        let (mut state, mut hidden) = (self.model.start(self.device), None);
        for left in &pieces {
            let (device, hooks, last) = (self.device, &mut *hooks, Wanted::LastRow);
            hidden = Some(self.model.forward_ids(device, left, &mut state, hooks, last));
        }
        Ok(self.context(state, hidden))
    }

    /// The same, with a breath of the arm's pace before each layer.
    ///
    /// Errors: as above, or cancelled.
    pub async fn read_in_steps(&self, ids: &[u32]) -> Result<Context> {
        let (pieces, mut hooks) = self.begin(ids)?;
        let (mut state, mut hidden) = (self.model.start(self.device), None);
        for left in &pieces {
            let (device, hooks, how) = (self.device, &mut *hooks, (Wanted::LastRow, self.pace));
            let work = self.model.forward_in_steps(device, left, &mut state, hooks, how);
            hidden = Some(work.await?);
        }
        Ok(self.context(state, hidden))
    }

    /// What goes through the layers of a context, one piece after the other, and who looks on. A reduction sees the whole
    /// text at once, because it compares its tokens.
    fn begin(&self, ids: &[u32]) -> Result<(Vec<Ids>, Box<dyn Hooks>)> {
        self.check(0, ids)?;
        let Some(setting) = self.reduction else {
            let pieces = ids.chunks(piece_tokens(self.device));
            return Ok((pieces.map(|ids| self.device.ids(ids)).collect(), Box::new(NoHooks)));
        };
        let mut reducer = self.reducer(setting, ids)?;
        let left = reducer.read(self.device, self.model, &self.device.ids(ids));
        Ok((vec![left], Box::new(reducer)))
    }

    /// After the last piece.
    fn context(&self, state: State, hidden: Option<Tensor>) -> Context {
        let hidden = hidden.expect("a context has a token");
        Context { last: self.last_row(&hidden), state }
    }

    /// The normed hidden rows of what a reduction leaves of `ids` `[kept tokens, d_model]`. Errors: cancelled.
    pub(super) async fn forward_reduced(
        &self,
        ids: &[u32],
        state: &mut State,
        reducer: &mut Reducer,
    ) -> Result<Tensor> {
        let left = reducer.read(self.device, self.model, &self.device.ids(ids));
        let how = (Wanted::EveryRow, self.pace);
        self.model.forward_in_steps(self.device, &left, state, reducer, how).await
    }

    /// A reduction for these tokens, which knows their filler if the arm does.
    pub fn reducer(&self, setting: &Setting, ids: &[u32]) -> Result<Reducer> {
        let mark = |id: &u32| self.filler.is_some_and(|f| f.get(*id as usize) == Some(&true));
        let marks: Option<Vec<bool>> = self.filler.map(|_| ids.iter().map(mark).collect());
        let reducer = Reducer::new(self.config, setting, ids.len())?.with_salt_of(ids);
        reducer.with_filler(self.device, marks.as_deref())
    }

    /// What a reduction does to a context, layer by layer.
    pub async fn trace(&self, setting: &Setting, ids: &[u32]) -> Result<Vec<LayerTrace>> {
        self.check(0, ids)?;
        let mut reducer = self.reducer(setting, ids)?;
        let mut state = self.model.start(self.device);
        self.forward_reduced(ids, &mut state, &mut reducer).await?;
        reducer.trace(self.device).await
    }

    /// Adds tokens to a context, unreduced.
    pub fn extend(&self, context: &mut Context, ids: &[u32]) -> Result<()> {
        self.check(context.state.next_position, ids)?;
        self.follow(context, &self.device.ids(ids));
        Ok(())
    }

    /// Adds tokens that are on the device already, all below vocab_size, unreduced.
    pub fn follow(&self, context: &mut Context, ids: &Ids) {
        let (state, last) = (&mut context.state, Wanted::LastRow);
        let hidden = self.model.forward_ids(self.device, ids, state, &mut NoHooks, last);
        context.last = self.last_row(&hidden);
    }

    /// Scores `ids` after a context, which is not changed: `[ids, 2]`, see [`Model::nll`]. Errors: as [`Arm::read_in_steps`].
    pub async fn nll(&self, context: &Context, ids: &[u32]) -> Result<Tensor> {
        self.check(context.state.next_position, ids)?;
        let (device, model, pace) = (self.device, self.model, self.pace);
        let (mut state, mut last) = (context.state.clone(), context.last.clone());
        let mut scored: Option<Tensor> = None;
        let mut left = ids.len();
        for piece in ids.chunks(piece_tokens(device)) {
            left -= piece.len();
            // What follows the last token of all is not asked.
            let inputs = &piece[..piece.len() - usize::from(left == 0)];
            // Row i predicts token i of the piece.
            let rows = self.go_on(&mut state, &last, inputs).await?;
            if left > 0 {
                last = self.last_row(&rows);
            }
            let nll = model.nll_in_steps(device, &rows, piece, pace).await?;
            scored = Some(match scored {
                Some(before) => concat_rows(device, &before, &nll),
                None => nll,
            });
        }
        Ok(scored.expect("a token is scored"))
    }

    /// The same of some short continuations (at least one) of the same context, one after another: the head is read once for
    /// all. Errors: as [`Arm::nll`].
    pub async fn nll_of_each(&self, context: &Context, all: &[Vec<u32>]) -> Result<Tensor> {
        let mut rows: Option<Tensor> = None;
        for ids in all {
            self.check(context.state.next_position, ids)?;
            let (mut state, inputs) = (context.state.clone(), &ids[..ids.len() - 1]);
            let own = self.go_on(&mut state, &context.last, inputs).await?;
            rows = Some(match rows {
                Some(before) => concat_rows(self.device, &before, &own),
                None => own,
            });
        }
        let rows = rows.expect("a continuation is scored");
        self.model.nll_in_steps(self.device, &rows, &all.concat(), self.pace).await
    }

    /// The row `last` and those of what follows it `[1 + inputs, d_model]`.
    async fn go_on(&self, state: &mut State, last: &Tensor, inputs: &[u32]) -> Result<Tensor> {
        if inputs.is_empty() {
            return Ok(last.clone());
        }
        let (device, inputs, hooks) = (self.device, self.device.ids(inputs), &mut NoHooks);
        let how = (Wanted::EveryRow, self.pace);
        let work = self.model.forward_in_steps(device, &inputs, state, hooks, how);
        Ok(concat_rows(device, last, &work.await?))
    }

    /// Logits of the next token `[1, vocab_size]`.
    pub fn next_logits(&self, context: &Context) -> Tensor {
        self.model.logits(self.device, &context.last)
    }

    fn last_row(&self, hidden: &Tensor) -> Tensor {
        copy(self.device, hidden.row_range(hidden.rows() - 1, 1))
    }

    /// Whether `ids` can be read after so many tokens.
    pub(super) fn check(&self, past: usize, ids: &[u32]) -> Result<()> {
        check_sequence(self.config, past + ids.len())?;
        let vocab = self.config.vocab_size();
        match ids.iter().find(|&&id| id as usize >= vocab) {
            Some(id) => Err(Error::input("token", id, format!("an id below vocab_size {vocab}"))),
            None => Ok(()),
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::super::leak::fixture;
    use super::*;
    use crate::kernels::largest_difference;
    use pollster::block_on;

    #[test]
    fn a_text_that_is_read_and_scored_in_pieces_gives_what_it_gives_at_once() {
        let (device, pace) = (Device::Cpu, Pace::default());
        let size = piece_tokens(&device);
        for name in ["lm-mamba", "lm-mamba2", "lm-llama"] {
            let fixture = fixture(name);
            let config = &fixture.config;
            let model = Model::load(&device, config, &fixture.weights).unwrap();
            let arm = Arm {
                device: &device,
                config,
                model: &model,
                reduction: None,
                filler: None,
                pace: &pace,
            };
            let mut rng = crate::Rng::new(4);
            // A piece of one token is behind what is scored first, and none behind the last.
            for (context, scored) in [(size + 1, 1), (2, size), (2, size + 1), (size, size + 2)] {
                let id = |_| rng.below(config.vocab_size()) as u32;
                let ids: Vec<u32> = (0..context + scored).map(id).collect();
                let (before, targets) = ids.split_at(context);
                let read = block_on(arm.read_in_steps(before)).unwrap();
                let found = block_on(arm.nll(&read, targets)).unwrap();

                let mut state = model.start(&device);
                let rows = model.forward(&device, &ids, &mut state, &mut NoHooks);
                let rows = rows.row_range(context - 1, scored);
                let expected = model.nll(&device, rows, &device.ids(targets));
                assert_eq!((found.rows(), found.cols()), (scored, 2), "{name}");
                let difference = largest_difference(found.cpu(), expected.cpu());
                assert!(difference < 1e-3, "{name}, {context} and {scored}: {difference}");

                let at_once = arm.read(before).unwrap();
                assert_eq!(at_once.last.cpu(), read.last.cpu(), "{name}");
            }
        }
    }
}

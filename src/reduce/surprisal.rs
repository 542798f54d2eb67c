//! Selective Context: the tokens that surprise a language model least are left out before the model reads the text.
//!
//! Surprisal of token t: -log p(x_t | x_<t) in nats, by the model itself. The others keep their order and are read as a
//! text of their own, so that every layer is shorter, positions are counted anew, and any architecture can do it. Scoring
//! is a whole reading of the context with the head for every token: it is counted, and costs more than is saved, because
//! there is no smaller scorer here with the same tokenizer.
//!
//! Source: Selective Context (Li et al. 2023, arXiv 2310.06201), equation 1, units of single tokens. Where we differ: how
//! many go follows from the cut and not from a percentile, so that methods compare at equal savings; the authors score
//! with GPT-2, sentence by sentence, and take phrases.

use super::evit::drop_lowest_of;
use super::schedule::knobs;
use super::{Input, Job, Place, Plan, TokenReduction, drop_rows, spread_rows};
use crate::Rng;
use crate::config::FAMILIES;
use crate::kernels::scale::scale;
use crate::method::{About, Knob, KnobKind, Setting};

pub struct Surprisal;

static ABOUT: About = About {
    id: "surprisal",
    label: "Surprisal at the input",
    summary: "Leaves out the tokens that the model itself finds least surprising, before it reads the text. Scoring them costs a whole reading, so nothing is saved in all; the question is what the text loses.",
    source: "Selective Context (Li et al. 2023, arXiv 2310.06201), equation 1, single tokens, scored by the model itself; the share that goes follows from the FLOPs cut.",
    knobs: knobs![Knob {
        id: "score",
        label: "Stays",
        help: "Which tokens stay; random and stride are controls of the same length that score nothing",
        kind: KnobKind::Choice {
            options: &[
                ("surprisal", "what surprises most"),
                ("expected", "what surprises least (control)"),
                ("random", "random tokens (control)"),
                ("stride", "even distances (control)"),
            ],
            default: "surprisal",
        },
    }],
    families: &FAMILIES,
};

impl TokenReduction for Surprisal {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn place(&self) -> Place {
        Place::Input
    }

    fn plan_of_input(&self, input: &Input<'_>, job: &Job, setting: &Setting) -> Plan {
        let (device, tokens) = (input.device, input.ids.len());
        let scores = match setting.choice("score") {
            "stride" => return drop_rows(device, tokens, &spread_rows(job)),
            "random" => {
                let mut rng = Rng::new(job.salt);
                let values: Vec<f32> = (0..tokens).map(|_| rng.uniform()).collect();
                device.tensor(tokens, 1, &values)
            }
            score => {
                let nats = job.surprisal.clone().expect("the reducer has asked the model");
                scale(device, nats, if score == "expected" { -1.0 } else { 1.0 })
            }
        };
        drop_lowest_of(device, job, scores)
    }

    fn needs_surprisal(&self, setting: &Setting) -> bool {
        !["random", "stride"].contains(&setting.choice("score"))
    }
}

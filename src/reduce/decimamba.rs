//! DeciMamba: inside a layer, between its convolution and its scan, the tokens go whose step size Delta is smallest.
//!
//! Score of token t: sqrt(sum over channels of Delta_t^2), with Delta after softplus. What enters the scan (x, Delta, B,
//! C), its gate and the residual stream lose the same rows, so that this layer's scan and output projection are shorter
//! too, and the state never sees what went. Of equal scores the earlier token goes.
//!
//! Source: DeciMamba (Ben-Kish et al. 2024, arXiv 2406.14528), the released code; `schedule=absolute` is its length rule.
//! Where we differ: the first token and those that the next convolution reads stay (`guard=off`: the last one alone, as
//! the authors keep the answer's); a layer removes at most half; Mamba-2, which the paper has not, counts a step a head.

use super::evit::drop_lowest_of;
use super::schedule::knobs;
use super::{Job, Place, Plan, TokenReduction, score};
use crate::backend::Device;
use crate::config::{Mixer, ModelConfig};
use crate::kernels::token_ssm::token_ssm;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::{SsmInputs, linears};

pub struct DeciMamba;

static ABOUT: About = About {
    id: "decimamba",
    label: "DeciMamba",
    summary: "Drops the tokens of smallest step size inside a Mamba layer, before its scan.",
    source: "DeciMamba (Ben-Kish et al. 2024, arXiv 2406.14528), score and place of the released code. With schedule=absolute also its lengths; its models are Mamba-1.",
    knobs: knobs![Knob {
        id: "score",
        label: "Importance",
        help: "What of Delta makes a token important",
        kind: KnobKind::Choice {
            options: &[("delta-norm", "L2 norm of Delta"), ("delta", "mean of Delta")],
            default: "delta-norm",
        },
    }],
    families: &score::SSM,
};

impl TokenReduction for DeciMamba {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn place(&self) -> Place {
        Place::BeforeScan
    }

    fn plan_of_scan(
        &self,
        device: &Device,
        inputs: &SsmInputs<'_>,
        job: &Job,
        setting: &Setting,
    ) -> Plan {
        let scores = token_ssm(device, inputs, score::of_delta(setting.choice("score")));
        drop_lowest_of(device, job, scores)
    }

    /// What the layer's own scan and output projection save.
    fn flops(&self, config: &ModelConfig, job: &Job, _: &Setting) -> f64 {
        let layer = &config.layers[job.layer];
        let scan = match &layer.mixer {
            Mixer::Mamba(m) => 9 * m.d_inner * m.d_state,
            Mixer::Mamba2(m) => 5 * m.d_inner * m.d_state,
            Mixer::Attention(_) => 0,
        };
        let of_layer = linears(config).into_iter().filter(|l| l.layer == job.layer);
        // An MLP behind the mixer, where there is one, comes after the cut as well.
        let after = of_layer.filter(|l| !is_before_scan(&l.name));
        let matrices: usize = after.map(|l| 2 * l.rows * l.cols).sum();
        -((scan + matrices) as f64) * job.remove as f64
    }
}

/// Whether a matrix of a layer with a state space is multiplied before its scan.
fn is_before_scan(name: &str) -> bool {
    ["in_proj", "x_proj", "dt_proj"].iter().any(|part| name.contains(part))
}

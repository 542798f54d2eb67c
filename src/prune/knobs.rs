//! The knobs that several methods share. Defaults that no paper gives are ours.

use crate::method::{Knob, KnobKind, Setting};

/// Which matrices are pruned.
pub const MATRICES: Knob = Knob {
    id: "matrices",
    label: "Matrices",
    help: "Every linear layer inside the blocks but Mamba-1's tiny dt_proj, also without its narrow x_proj, or all of them",
    kind: KnobKind::Choice {
        options: &[
            ("default", "all but dt_proj"),
            ("no-x_proj", "all but dt_proj and x_proj"),
            ("all", "all linear layers"),
        ],
        default: "default",
    },
};

/// Which of them: by name, so that one matrix alone can be tried.
pub const ONLY: Knob = Knob {
    id: "only",
    label: "Only",
    help: "Only matrices whose name in the checkpoint holds this text, such as out_proj or mlp.up_proj; * takes all",
    kind: KnobKind::Text { longest: 60, default: "*" },
};

/// Which layers are pruned.
pub const LAYERS: Knob = Knob {
    id: "layers",
    label: "Layers",
    help: "Layers that are pruned, counted from 0; empty takes all",
    kind: KnobKind::Layers,
};

/// Whether all matrices lose the same share.
pub const RATIOS: Knob = Knob {
    id: "ratios",
    label: "Ratios",
    help: "The same sparsity for every matrix; or up to 10 points less where a trial pruning does more harm (our rule), or up to 16 less in layers with many outlying scores (OWL), or up to 8 less in those in_proj and out_proj of a Mamba that are fed most (SparseSSM), and more elsewhere, with the same mean (unstructured pattern)",
    kind: KnobKind::Choice {
        options: &[
            ("uniform", "uniform"),
            ("sensitivity", "by sensitivity"),
            ("owl", "by outliers (OWL)"),
            ("sparsessm", "by inputs (SparseSSM)"),
        ],
        default: "uniform",
    },
};

/// How much text the input statistics rest on.
pub const SEQUENCES: Knob = Knob {
    id: "sequences",
    label: "Calibration",
    help: "Calibration sequences (512 tokens of prose, or one line of recall text, each); one more is held out for the error report",
    kind: KnobKind::Number { min: 1.0, max: 128.0, step: 1.0, default: 16.0 },
};

/// How the pruned matrices are multiplied when tokens are decoded.
pub const RUN: Knob = Knob {
    id: "run",
    label: "Run",
    help: "Packed: decoding leaves out the zeros where that is faster (2:4; others only where enough is zero). Dense: zeros are multiplied",
    kind: KnobKind::Choice {
        options: &[("packed", "packed"), ("dense", "dense")],
        default: "packed",
    },
};

/// λ of the Hessian.
pub const DAMPING: Knob = Knob {
    id: "damping",
    label: "Damping",
    help: "Added to the diagonal of XᵀX, as a share of its mean; raised where a factorisation fails",
    kind: KnobKind::Number { min: 0.0, max: 1.0, step: 0.01, default: 0.01 },
};

/// Which way the removed weights are chosen.
pub const MASK: Knob = Knob {
    id: "mask",
    label: "Mask",
    help: "S weighs every weight alone; M tries all subsets of a group (only patterns such as 2:4)",
    kind: KnobKind::Choice {
        options: &[("S", "S: one by one"), ("M", "M: jointly")],
        default: "S",
    },
};

/// The same, also by a score that needs no inverse.
pub const MASK_OR_WANDA: Knob = Knob {
    id: "mask",
    label: "Mask",
    help: "S weighs every weight alone; M tries all subsets of a group (only patterns such as 2:4); W takes the lowest Wanda scores of what is left of a row (Thanos)",
    kind: KnobKind::Choice {
        options: &[("S", "S: one by one"), ("M", "M: jointly"), ("W", "W: Wanda, as Thanos")],
        default: "S",
    },
};

/// Inputs that are masked with the same weights; SparseGPT's default is that of its authors' code.
pub const BLOCK: Knob = Knob {
    id: "block",
    label: "Block",
    help: "Inputs whose mask is chosen before any of them is compensated",
    kind: KnobKind::Choice {
        options: &[("32", "32"), ("64", "64"), ("128", "128"), ("256", "256")],
        default: "128",
    },
};

/// The same with the whole row.
pub const BLOCK_OR_ROW: Knob = Knob {
    id: "block",
    label: "Block",
    help: "Inputs that are masked and compensated together; the whole row is the optimum for its mask",
    kind: KnobKind::Choice {
        options: &[
            ("row", "whole row"),
            ("32", "32"),
            ("64", "64"),
            ("128", "128"),
            ("256", "256"),
        ],
        default: "row",
    },
};

const INPUTS: &[(&str, &str)] = &[("dense", "of the dense model"), ("pruned", "of pruned layers")];
const INPUTS_HELP: &str = "What a layer is calibrated on: activations of the dense model, or those that come out of the already pruned layers before it";

/// Inputs of a method that is usually calibrated on the dense model here.
pub const INPUTS_DENSE: Knob = Knob {
    id: "inputs",
    label: "Inputs",
    help: INPUTS_HELP,
    kind: KnobKind::Choice { options: INPUTS, default: "dense" },
};

/// Inputs of a method that is usually calibrated layer by layer.
pub const INPUTS_PRUNED: Knob = Knob {
    id: "inputs",
    label: "Inputs",
    help: INPUTS_HELP,
    kind: KnobKind::Choice { options: INPUTS, default: "pruned" },
};

/// The block of a setting for rows of `n` inputs.
pub fn block_of(setting: &Setting, n: usize) -> usize {
    // "row" is the only choice that is not a number.
    setting.choice("block").parse::<usize>().unwrap_or(n).min(n)
}

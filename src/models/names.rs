//! What the checkpoints of a family call their tensors. A family is such a table, one file each.

/// Names without ".weight" and ".bias", those inside a layer without the layer's own name.
pub struct Names {
    /// The token embedding `[vocab_size, d_model]`.
    pub embedding: &'static str,
    /// The learned positions, where a family has them.
    pub positions: &'static str,
    /// Names that the output head goes by; the first is given to it where it is missing.
    pub heads: &'static [&'static str],
    /// The norm before the head.
    pub norm: &'static str,
    /// Before the number of a layer.
    pub layers: &'static str,
    /// The norm before the mixer.
    pub mixer_norm: &'static str,
    /// The norm before the MLP.
    pub mlp_norm: &'static str,
    /// Before the tensors of a state space.
    pub ssm: &'static str,
    /// The projections into attention.
    pub qkv: Qkv,
    /// The output projection of attention.
    pub o: &'static str,
    /// The matrices of the MLP.
    pub mlp: MlpNames,
    /// What config.json calls the number of layers.
    pub n_layer_field: &'static str,
    /// The number of heads is independent of d_model.
    pub has_free_heads: bool,
}

/// How queries, keys and values are stored.
#[derive(Clone, Copy)]
pub enum Qkv {
    /// Three matrices: q, k, v.
    Three([&'static str; 3]),
    /// One matrix with rows `[n_head, (q, k, v), headdim]`.
    ByHead(&'static str),
    /// One matrix with the rows of q, of k and of v, one after the other.
    InOrder(&'static str),
}

/// The matrices of an MLP. `gate` is empty where there is none, and equal to `up` where both are one matrix, the gate's
/// rows first.
#[derive(Clone, Copy)]
pub struct MlpNames {
    /// What goes through the nonlinearity of a gated MLP.
    pub gate: &'static str,
    /// The other one into the MLP, or the only one.
    pub up: &'static str,
    /// The one out of it.
    pub down: &'static str,
    /// What config.json calls the width inside.
    pub width_field: &'static str,
}

impl Names {
    /// Of a layer, with the dot that follows.
    pub fn layer(&self, index: usize) -> String {
        format!("{}{index}.", self.layers)
    }

    /// A model without attention, MLP or state space keeps these.
    pub(super) const NONE: Names = Names {
        embedding: "",
        positions: "",
        heads: &["lm_head.weight"],
        norm: "",
        layers: "",
        mixer_norm: "",
        mlp_norm: "",
        ssm: "",
        qkv: Qkv::Three([""; 3]),
        o: "",
        mlp: MlpNames { gate: "", up: "", down: "", width_field: "intermediate_size" },
        n_layer_field: "num_hidden_layers",
        has_free_heads: false,
    };
}

/// Whether a linear layer of this name is stored with its inputs first `[inputs, outputs]`: GPT-2's Conv1D.
pub fn is_transposed(name: &str) -> bool {
    ["attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"]
        .iter()
        .any(|part| name.ends_with(part))
}

/// Other names that a tensor may be stored by: those of a model saved without its head, which lack the prefix, and
/// those of mamba_ssm.
pub(super) fn aliases(name: &str) -> Vec<String> {
    let mut list = Vec::new();
    for prefix in ["model.", "transformer.", "backbone.", "gpt_neox."] {
        list.extend(name.strip_prefix(prefix).map(str::to_string));
    }
    if name == "backbone.embeddings.weight" {
        list.push("backbone.embedding.weight".into());
    }
    list
}

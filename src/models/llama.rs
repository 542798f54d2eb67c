//! Llama (Touvron et al. 2023), as `LlamaForCausalLM` computes it.
//!
//! Per layer: x += o_proj(attention(rope(q), rope(k), v)), then x += down_proj(silu(gate_proj) * up_proj), each
//! on an RMS-normed input. Tokens that survive a reduction keep their positions.

use super::attend::{Heads, Place, Rows, attend};
use super::{Hooks, Kept, LayerOutput, LayerState, State, Weights};
use crate::Result;
use crate::backend::{Device, Ids, Matrix, Tensor};
use crate::config::LlamaConfig;
use crate::kernels::add::add;
use crate::kernels::embedding::embedding;
use crate::kernels::matmul::matmul;
use crate::kernels::rmsnorm::rmsnorm;
use crate::kernels::swiglu::swiglu;

pub struct Llama {
    config: LlamaConfig,
    embed_tokens: Matrix, // [vocab_size, d_model]
    inv_freq: Tensor,     // [1, headdim / 2]
    layers: Vec<Layer>,
    norm: Tensor, // [1, d_model]
    pub(super) head: Matrix,
}

/// A linear layer with its optional bias.
struct Projection {
    weight: Matrix,
    bias: Option<Tensor>,
    name: String,
}

struct Layer {
    input_layernorm: Tensor,          // [1, d_model]
    post_attention_layernorm: Tensor, // [1, d_model]
    q: Projection,                    // [n_head * headdim, d_model]
    k: Projection,                    // [n_kv_head * headdim, d_model]
    v: Projection,                    // [n_kv_head * headdim, d_model]
    o: Projection,                    // [d_model, n_head * headdim]
    gate: Projection,                 // [d_ff, d_model]
    up: Projection,                   // [d_ff, d_model]
    down: Projection,                 // [d_model, d_ff]
}

/// (name with {} for the layer, outputs, inputs, pruned by default)
pub(super) fn linears(c: &LlamaConfig) -> Vec<(String, usize, usize, bool)> {
    let name = |part: &str| format!("model.layers.{{}}.{part}.weight");
    let (d, q, kv) = (c.common.d_model, c.n_head * c.headdim, c.n_kv_head * c.headdim);
    vec![
        (name("self_attn.q_proj"), q, d, true),
        (name("self_attn.k_proj"), kv, d, true),
        (name("self_attn.v_proj"), kv, d, true),
        (name("self_attn.o_proj"), d, q, true),
        (name("mlp.gate_proj"), c.d_ff, d, true),
        (name("mlp.up_proj"), c.d_ff, d, true),
        (name("mlp.down_proj"), d, c.d_ff, true),
    ]
}

impl Projection {
    fn load(
        device: &Device,
        weights: &Weights,
        name: String,
        [rows, cols]: [usize; 2],
        bias: bool,
    ) -> Result<Self> {
        Ok(Self {
            weight: weights.matrix(device, &format!("{name}.weight"), rows, cols)?,
            bias: weights.vector_if(bias, device, &format!("{name}.bias"), rows)?,
            name: format!("{name}.weight"),
        })
    }

    fn run(&self, device: &Device, x: &Tensor, hooks: &mut dyn Hooks) -> Tensor {
        hooks.linear_input(device, &self.name, x.view());
        matmul(device, x, &self.weight, self.bias.as_ref(), None)
    }

    fn run_and_add(
        &self,
        device: &Device,
        x: &Tensor,
        residual: &Tensor,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        hooks.linear_input(device, &self.name, x.view());
        if hooks.is_done() {
            return residual.clone();
        }
        matmul(device, x, &self.weight, self.bias.as_ref(), Some(residual))
    }
}

impl Llama {
    pub(super) fn load(device: &Device, config: &LlamaConfig, weights: &Weights) -> Result<Self> {
        let c = &config.common;
        let embed_tokens =
            weights.matrix(device, "model.embed_tokens.weight", c.vocab_size, c.d_model)?;
        let head =
            weights.head(device, c.tie_word_embeddings, &["lm_head.weight"], &embed_tokens)?;
        let layers = (0..c.n_layer)
            .map(|i| Layer::load(device, config, weights, &format!("model.layers.{i}")))
            .collect::<Result<_>>()?;
        let inv_freq = config.rope.inv_freq();
        Ok(Self {
            config: config.clone(),
            embed_tokens,
            inv_freq: device.tensor(1, inv_freq.len(), &inv_freq),
            layers,
            norm: weights.vector(device, "model.norm.weight", c.d_model)?,
            head,
        })
    }

    pub(super) fn start(&self) -> State {
        State { layers: vec![LayerState::Kv(None); self.layers.len()], next_position: 0 }
    }

    pub(super) fn forward(
        &self,
        device: &Device,
        ids: &Ids,
        state: &mut State,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        let mut x = self.embed(device, ids);
        let mut rows = Rows::new(state.positions(device, ids.len()));
        for (i, memory) in state.layers.iter_mut().enumerate() {
            let (next, kept) = self.layer(device, i, &rows, x, memory, hooks);
            x = next;
            if let Some(kept) = kept {
                rows = rows.after(device, kept);
            }
        }
        rmsnorm(device, &x, &self.norm, self.config.common.eps)
    }

    /// `[seq_len, d_model]`
    pub(super) fn embed(&self, device: &Device, ids: &Ids) -> Tensor {
        embedding(device, ids, &self.embed_tokens)
    }

    /// One layer over the rows `x` `[seq_len, d_model]`; also the kept rows if any left.
    pub(super) fn layer(
        &self,
        device: &Device,
        index: usize,
        rows: &Rows,
        x: Tensor,
        memory: &mut LayerState,
        hooks: &mut dyn Hooks,
    ) -> (Tensor, Option<Kept>) {
        let place = Place { index, inv_freq: &self.inv_freq, rows };
        self.layers[index].forward(&self.config, device, &place, x, memory, hooks)
    }

    /// Loads the weights of one layer anew. Errors: as in `load`.
    pub(super) fn reload(
        &mut self,
        device: &Device,
        weights: &Weights,
        index: usize,
    ) -> Result<()> {
        self.layers[index] =
            Layer::load(device, &self.config, weights, &format!("model.layers.{index}"))?;
        Ok(())
    }
}

impl Layer {
    fn load(device: &Device, c: &LlamaConfig, weights: &Weights, name: &str) -> Result<Self> {
        let (d, q, kv) = (c.common.d_model, c.n_head * c.headdim, c.n_kv_head * c.headdim);
        let norm = |part: &str| weights.vector(device, &format!("{name}.{part}.weight"), d);
        let load = |part: &str, shape, bias| {
            Projection::load(device, weights, format!("{name}.{part}"), shape, bias)
        };
        Ok(Self {
            input_layernorm: norm("input_layernorm")?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            q: load("self_attn.q_proj", [q, d], c.attention_bias)?,
            k: load("self_attn.k_proj", [kv, d], c.attention_bias)?,
            v: load("self_attn.v_proj", [kv, d], c.attention_bias)?,
            o: load("self_attn.o_proj", [d, q], c.attention_bias)?,
            gate: load("mlp.gate_proj", [c.d_ff, d], c.mlp_bias)?,
            up: load("mlp.up_proj", [c.d_ff, d], c.mlp_bias)?,
            down: load("mlp.down_proj", [d, c.d_ff], c.mlp_bias)?,
        })
    }

    fn forward(
        &self,
        c: &LlamaConfig,
        device: &Device,
        place: &Place<'_>,
        x: Tensor, // [seq_len, d_model]
        memory: &mut LayerState,
        hooks: &mut dyn Hooks,
    ) -> (Tensor, Option<Kept>) {
        let reduces = hooks.wants_layer(place.index, x.rows());
        let normed = rmsnorm(device, &x, &self.input_layernorm, c.common.eps);
        let q = self.q.run(device, &normed, hooks);
        let k = self.k.run(device, &normed, hooks);
        let v = self.v.run(device, &normed, hooks);
        let heads = Heads { n_head: c.n_head, n_kv_head: c.n_kv_head, headdim: c.headdim };
        let [q, k, v] = [q.view(), k.view(), v.view()];
        let y = attend(device, heads, place, [q, k, v], memory);
        if !reduces {
            let x = self.o.run_and_add(device, &y, &x, hooks);
            let act = self.mlp_inner(c, device, &x, hooks);
            return (self.down.run_and_add(device, &act, &x, hooks), None);
        }
        // The layer's own contribution is attention plus MLP; the stream before it is the residual.
        let attention = self.o.run(device, &y, hooks);
        let middle = add(device, &attention, &x);
        let act = self.mlp_inner(c, device, &middle, hooks);
        let hidden = self.down.run_and_add(device, &act, &attention, hooks);
        let inputs = heads.inputs(place, q, k);
        let output =
            LayerOutput { layer: place.index, hidden: &hidden, residual: &x, mixer: &y, inputs };
        super::reduce_or_add(device, output, hooks)
    }

    /// silu(gate_proj(n)) * up_proj(n) with n = rmsnorm(x); `[seq_len, d_ff]`.
    fn mlp_inner(
        &self,
        c: &LlamaConfig,
        device: &Device,
        x: &Tensor,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        let normed = rmsnorm(device, x, &self.post_attention_layernorm, c.common.eps);
        let gate = self.gate.run(device, &normed, hooks);
        let up = self.up.run(device, &normed, hooks);
        swiglu(device, &gate, &up)
    }
}

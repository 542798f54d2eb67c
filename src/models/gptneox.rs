//! GPT-NeoX (Black et al. 2022; Pythia), as `GPTNeoXForCausalLM` computes it.
//!
//! Per layer, parallel form: x + dense(attention(ln1(x))) + mlp(ln2(x)); sequential form: the MLP reads
//! x + attention. The rotation covers the first rotary_ndims of every head. The checkpoint's
//! query_key_value rows are ordered `[n_head, (q, k, v), headdim]`; they are sorted into q, k, v at loading.

use super::attend::{Heads, Place, Rows, attend};
use super::{Hooks, Kept, LayerOutput, LayerState, State, Weights};
use crate::Result;
use crate::backend::{Device, Ids, Matrix, Tensor};
use crate::config::{Activation, GptNeoXConfig};
use crate::kernels::add::add;
use crate::kernels::embedding::embedding;
use crate::kernels::gelu::{Gelu, gelu};
use crate::kernels::layernorm::layernorm;
use crate::kernels::matmul::matmul;

pub struct GptNeoX {
    config: GptNeoXConfig,
    embed_in: Matrix, // [vocab_size, d_model]
    inv_freq: Tensor, // [1, rotary_ndims / 2]
    layers: Vec<Layer>,
    final_layer_norm: Norm,
    pub(super) head: Matrix,
}

struct Norm {
    weight: Tensor, // [1, d_model]
    bias: Tensor,   // [1, d_model]
}

struct Layer {
    name: String,
    input_layernorm: Norm,
    post_attention_layernorm: Norm,
    qkv: Matrix,                // [3 * d_model, d_model], sorted into q, k, v
    qkv_bias: Option<Tensor>,   // [1, 3 * d_model], sorted likewise
    dense: Matrix,              // [d_model, d_model]
    dense_bias: Option<Tensor>, // [1, d_model]
    h_to_4h: Matrix,            // [d_ff, d_model]
    h_to_4h_bias: Tensor,       // [1, d_ff]
    from_4h: Matrix,            // [d_model, d_ff]
    from_4h_bias: Tensor,       // [1, d_model]
}

/// (name with {} for the layer, outputs, inputs, pruned by default)
pub(super) fn linears(c: &GptNeoXConfig) -> Vec<(String, usize, usize, bool)> {
    let name = |part: &str| format!("gpt_neox.layers.{{}}.{part}.weight");
    let d = c.common.d_model;
    vec![
        (name("attention.query_key_value"), 3 * d, d, true),
        (name("attention.dense"), d, d, true),
        (name("mlp.dense_h_to_4h"), c.d_ff, d, true),
        (name("mlp.dense_4h_to_h"), d, c.d_ff, true),
    ]
}

impl Norm {
    fn load(device: &Device, weights: &Weights, name: &str, d: usize) -> Result<Self> {
        Ok(Self {
            weight: weights.vector(device, &format!("{name}.weight"), d)?,
            bias: weights.vector(device, &format!("{name}.bias"), d)?,
        })
    }

    fn run(&self, device: &Device, x: &Tensor, eps: f32) -> Tensor {
        layernorm(device, x, &self.weight, &self.bias, eps)
    }
}

impl GptNeoX {
    pub(super) fn load(device: &Device, config: &GptNeoXConfig, weights: &Weights) -> Result<Self> {
        let c = &config.common;
        let embed_in =
            weights.matrix(device, "gpt_neox.embed_in.weight", c.vocab_size, c.d_model)?;
        let head = weights.head(
            device,
            c.tie_word_embeddings,
            &["embed_out.weight", "lm_head.weight"],
            &embed_in,
        )?;
        let layers = (0..c.n_layer)
            .map(|i| Layer::load(device, config, weights, format!("gpt_neox.layers.{i}")))
            .collect::<Result<_>>()?;
        let inv_freq = config.rope.inv_freq();
        Ok(Self {
            config: config.clone(),
            embed_in,
            inv_freq: device.tensor(1, inv_freq.len(), &inv_freq),
            layers,
            final_layer_norm: Norm::load(device, weights, "gpt_neox.final_layer_norm", c.d_model)?,
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
        self.final_layer_norm.run(device, &x, self.config.common.eps)
    }

    /// `[seq_len, d_model]`
    pub(super) fn embed(&self, device: &Device, ids: &Ids) -> Tensor {
        embedding(device, ids, &self.embed_in)
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
            Layer::load(device, &self.config, weights, format!("gpt_neox.layers.{index}"))?;
        Ok(())
    }
}

impl Layer {
    fn load(device: &Device, c: &GptNeoXConfig, weights: &Weights, name: String) -> Result<Self> {
        let d = c.common.d_model;
        let part = |part: &str| format!("{name}.{part}");
        let matrix = |p: &str, rows, cols| weights.matrix(device, &part(p), rows, cols);
        let qkv_name = part("attention.query_key_value");
        let qkv_bias = match c.attention_bias {
            true => {
                let bias = weights.values(&format!("{qkv_name}.bias"), &[3 * d])?;
                Some(device.tensor(1, 3 * d, &sort_qkv(&bias, c, 1)))
            }
            false => None,
        };
        let qkv = weights.values(&format!("{qkv_name}.weight"), &[3 * d, d])?;
        let qkv = sort_qkv(&qkv, c, d);
        Ok(Self {
            input_layernorm: Norm::load(device, weights, &part("input_layernorm"), d)?,
            post_attention_layernorm: Norm::load(
                device,
                weights,
                &part("post_attention_layernorm"),
                d,
            )?,
            qkv: weights.rearranged(device, &format!("{qkv_name}.weight"), [3 * d, d], &qkv),
            qkv_bias,
            dense: matrix("attention.dense.weight", d, d)?,
            dense_bias: weights.vector_if(
                c.attention_bias,
                device,
                &part("attention.dense.bias"),
                d,
            )?,
            h_to_4h: matrix("mlp.dense_h_to_4h.weight", c.d_ff, d)?,
            h_to_4h_bias: weights.vector(device, &part("mlp.dense_h_to_4h.bias"), c.d_ff)?,
            from_4h: matrix("mlp.dense_4h_to_h.weight", d, c.d_ff)?,
            from_4h_bias: weights.vector(device, &part("mlp.dense_4h_to_h.bias"), d)?,
            name,
        })
    }

    fn forward(
        &self,
        c: &GptNeoXConfig,
        device: &Device,
        place: &Place<'_>,
        x: Tensor, // [seq_len, d_model]
        memory: &mut LayerState,
        hooks: &mut dyn Hooks,
    ) -> (Tensor, Option<Kept>) {
        let reduces = hooks.wants_layer(place.index, x.rows());
        let weight = |part: &str| format!("{}.{part}.weight", self.name);
        let (d, eps) = (c.common.d_model, c.common.eps);
        let normed = self.input_layernorm.run(device, &x, eps);
        hooks.linear_input(device, &weight("attention.query_key_value"), normed.view());
        let qkv = matmul(device, &normed, &self.qkv, self.qkv_bias.as_ref(), None);
        let heads = Heads { n_head: c.n_head, n_kv_head: c.n_head, headdim: c.headdim };
        let [q, k, v] = [qkv.columns(0, d), qkv.columns(d, d), qkv.columns(2 * d, d)];
        let y = attend(device, heads, place, [q, k, v], memory);
        hooks.linear_input(device, &weight("attention.dense"), y.view());
        let attention = matmul(device, &y, &self.dense, self.dense_bias.as_ref(), None);
        let mlp_input = match c.use_parallel_residual {
            true => x.clone(),
            false => add(device, &attention, &x),
        };
        let normed = self.post_attention_layernorm.run(device, &mlp_input, eps);
        hooks.linear_input(device, &weight("mlp.dense_h_to_4h"), normed.view());
        let inner = matmul(device, &normed, &self.h_to_4h, Some(&self.h_to_4h_bias), None);
        let kind = match c.activation {
            Activation::Gelu => Gelu::Erf,
            Activation::GeluTanh => Gelu::Tanh,
        };
        let act = gelu(device, &inner, kind); // [seq_len, d_ff]
        hooks.linear_input(device, &weight("mlp.dense_4h_to_h"), act.view());
        if hooks.is_done() {
            return (x, None);
        }
        let hidden =
            matmul(device, &act, &self.from_4h, Some(&self.from_4h_bias), Some(&attention));
        if !reduces {
            return (add(device, &hidden, &x), None);
        }
        let inputs = heads.inputs(place, q, k);
        let output =
            LayerOutput { layer: place.index, hidden: &hidden, residual: &x, mixer: &y, inputs };
        super::reduce_or_add(device, output, hooks)
    }
}

/// Rows `[n_head, 3, headdim]` of width `cols` in the order `[3, n_head, headdim]`.
fn sort_qkv(values: &[f32], c: &GptNeoXConfig, cols: usize) -> Vec<f32> {
    let mut sorted = Vec::with_capacity(values.len());
    for part in 0..3 {
        for head in 0..c.n_head {
            let start = (head * 3 + part) * c.headdim * cols;
            sorted.extend_from_slice(&values[start..start + c.headdim * cols]);
        }
    }
    sorted
}

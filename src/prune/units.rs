//! What may be cut out of every layer alike: units, the tensors they run through, and the configuration without them.
//!
//! | unit | mamba | mamba2 | llama | gpt_neox |
//! |---|---|---|---|---|
//! | channels | channels of d_inner | whole heads, equally many of every group | channels of the MLP | channels of the MLP |
//! | heads | - | as channels | key/value heads with their queries | - |
//! | states | - | state columns (B, C), equally many of every group | - | - |
//!
//! A tensor is cut along one axis, which is made of spans: some have a slice for every unit, others stay. Readers are
//! the matrices that multiply what the units put out; all else loses rows and nothing of what is left changes. State
//! columns have no reader.

use crate::config::{GptNeoXConfig, LlamaConfig, Mamba2Config, MambaConfig, ModelConfig};
use crate::models::Edit;
use crate::{Error, Result};

use Span::{Each, Stays};

/// A stretch of an axis.
#[derive(Clone, Copy)]
enum Span {
    /// So many neighbours for every unit.
    Each(usize),
    Stays(usize),
}

/// One tensor of a layer.
pub struct Part {
    /// Name behind that of the layer.
    pub name: &'static str,
    pub shape: Vec<usize>,
    /// 1 in a reader `[outputs, units * width]`, else 0.
    pub reads: bool,
    spans: Vec<Span>,
}

/// The units of every layer.
pub struct Units {
    pub count: usize,
    /// Neighbours that must lose equally many.
    pub groups: usize,
    /// Columns of a unit in the last reader.
    pub width: usize,
    pub parts: Vec<Part>,
    /// Before the number of the layer.
    prefix: &'static str,
}

/// Fields of config.json and their new values.
pub type Fields = Vec<(&'static str, f64)>;

impl Part {
    /// Elements of the axis that are left.
    fn kept(&self, removed: &[bool]) -> Vec<usize> {
        let (mut at, mut kept) = (0, Vec::new());
        for span in &self.spans {
            match *span {
                Stays(length) => {
                    kept.extend(at..at + length);
                    at += length;
                }
                Each(width) => {
                    for gone in removed {
                        if !gone {
                            kept.extend(at..at + width);
                        }
                        at += width;
                    }
                }
            }
        }
        kept
    }

    /// Without the units that go.
    pub fn cut(&self, values: &[f32], removed: &[bool]) -> Edit {
        let axis = usize::from(self.reads);
        let inner: usize = self.shape[axis + 1..].iter().product();
        let kept = self.kept(removed);
        let mut shape = self.shape.clone();
        shape[axis] = kept.len();
        let mut left = Vec::with_capacity(shape.iter().product());
        for block in values.chunks_exact(self.shape[axis] * inner) {
            kept.iter().for_each(|&i| left.extend(&block[i * inner..(i + 1) * inner]));
        }
        Edit::new(&shape, left)
    }
}

impl Units {
    /// The units of this kind.
    ///
    /// Errors: the architecture has none.
    pub fn of(config: &ModelConfig, unit: &str) -> Result<Units> {
        match (config, unit) {
            (ModelConfig::Mamba(c), "channels") => Ok(mamba(c)),
            (ModelConfig::Mamba2(c), "states") => Ok(mamba2_states(c)),
            (ModelConfig::Mamba2(c), _) => Ok(mamba2(c)),
            (ModelConfig::Llama(c), "heads") => Ok(llama_heads(c)),
            (ModelConfig::Llama(c), "channels") => Ok(llama_channels(c)),
            (ModelConfig::GptNeoX(c), "channels") => Ok(gpt_neox(c)),
            (ModelConfig::Llama(_), _) => {
                Err(Error::input("unit", unit, "channels, heads or layers on this architecture"))
            }
            _ => Err(Error::input("unit", unit, "channels or layers on this architecture")),
        }
    }

    fn new(prefix: &'static str, count: usize, width: usize) -> Units {
        Units { count, groups: 1, width, parts: Vec::new(), prefix }
    }

    fn rows(&mut self, name: &'static str, spans: &[Span], rest: &[usize]) {
        let mut shape = vec![self.length(spans)];
        shape.extend(rest);
        self.parts.push(Part { name, shape, reads: false, spans: spans.to_vec() });
    }

    fn rows_if(&mut self, stored: bool, name: &'static str, spans: &[Span]) {
        if stored {
            self.rows(name, spans, &[]);
        }
    }

    fn reader(&mut self, name: &'static str, outputs: usize) {
        let spans = vec![Each(self.width)];
        self.parts.push(Part {
            name,
            shape: vec![outputs, self.length(&spans)],
            reads: true,
            spans,
        });
    }

    fn length(&self, spans: &[Span]) -> usize {
        let length = |span: &Span| match *span {
            Each(width) => width * self.count,
            Stays(length) => length,
        };
        spans.iter().map(length).sum()
    }

    pub fn has_readers(&self) -> bool {
        self.parts.iter().any(|p| p.reads)
    }

    /// Whether the tensor of this checkpoint name is a reader.
    pub fn reads(&self, layer: usize, name: &str) -> bool {
        self.parts.iter().any(|p| p.reads && self.name(layer, p) == name)
    }

    /// Checkpoint name of a tensor.
    pub fn name(&self, layer: usize, part: &Part) -> String {
        format!("{}{layer}.{}", self.prefix, part.name)
    }

    /// Units of every group that go for a share; one stays at least.
    pub fn quota(&self, share: f64) -> usize {
        quota(self.count / self.groups, share)
    }

    /// The configuration with so many units left, and what changes in config.json.
    pub fn shrink(&self, config: &ModelConfig, kept: usize) -> (ModelConfig, Fields) {
        let mut config = config.clone();
        let number = kept as f64;
        let fields = match &mut config {
            ModelConfig::Mamba(c) => {
                c.d_inner = kept;
                vec![("intermediate_size", number)]
            }
            ModelConfig::Mamba2(c) if !self.has_readers() => {
                c.d_state = kept / c.n_groups;
                vec![("state_size", c.d_state as f64)]
            }
            ModelConfig::Mamba2(c) => {
                c.n_head = kept;
                c.d_inner = kept * c.headdim;
                vec![("num_heads", number), ("expand", expand(c.d_inner, c.common.d_model))]
            }
            ModelConfig::Llama(c) if self.width > 1 => {
                c.n_head = c.n_head / c.n_kv_head * kept;
                c.n_kv_head = kept;
                vec![
                    ("num_attention_heads", c.n_head as f64),
                    ("num_key_value_heads", number),
                    ("head_dim", c.headdim as f64),
                ]
            }
            ModelConfig::Llama(c) => {
                c.d_ff = kept;
                vec![("intermediate_size", number)]
            }
            ModelConfig::GptNeoX(c) => {
                c.d_ff = kept;
                vec![("intermediate_size", number)]
            }
        };
        (config, fields)
    }
}

fn mamba(c: &MambaConfig) -> Units {
    let mut units = Units::new("backbone.layers.", c.d_inner, 1);
    units.rows("mixer.in_proj.weight", &[Each(1), Each(1)], &[c.common.d_model]);
    units.rows_if(c.use_bias, "mixer.in_proj.bias", &[Each(1), Each(1)]);
    units.rows("mixer.conv1d.weight", &[Each(1)], &[1, c.d_conv]);
    units.rows_if(c.use_conv_bias, "mixer.conv1d.bias", &[Each(1)]);
    units.reader("mixer.x_proj.weight", c.dt_rank + 2 * c.d_state);
    units.rows("mixer.dt_proj.weight", &[Each(1)], &[c.dt_rank]);
    units.rows("mixer.dt_proj.bias", &[Each(1)], &[]);
    units.rows("mixer.A_log", &[Each(1)], &[c.d_state]);
    units.rows("mixer.D", &[Each(1)], &[]);
    units.reader("mixer.out_proj.weight", c.common.d_model);
    units
}

fn mamba2(c: &Mamba2Config) -> Units {
    let mut units = Units::new("backbone.layers.", c.n_head, c.headdim);
    units.groups = c.n_groups;
    let (each, states) = (Each(c.headdim), Stays(2 * c.n_groups * c.d_state));
    let in_proj = [each, each, states, Each(1)]; // z, (x, B and C), dt
    units.rows("mixer.in_proj.weight", &in_proj, &[c.common.d_model]);
    units.rows_if(c.use_bias, "mixer.in_proj.bias", &in_proj);
    units.rows("mixer.conv1d.weight", &[each, states], &[1, c.d_conv]);
    units.rows_if(c.use_conv_bias, "mixer.conv1d.bias", &[each, states]);
    for name in ["mixer.dt_bias", "mixer.A_log", "mixer.D"] {
        units.rows(name, &[Each(1)], &[]);
    }
    units.rows(GATE_NORM, &[each], &[]);
    units.reader("mixer.out_proj.weight", c.common.d_model);
    units
}

fn mamba2_states(c: &Mamba2Config) -> Units {
    let mut units = Units::new("backbone.layers.", c.n_groups * c.d_state, 1);
    units.groups = c.n_groups;
    let in_proj = [Stays(2 * c.d_inner), Each(1), Each(1), Stays(c.n_head)]; // z and x, B, C, dt
    let conv = [Stays(c.d_inner), Each(1), Each(1)];
    units.rows("mixer.in_proj.weight", &in_proj, &[c.common.d_model]);
    units.rows_if(c.use_bias, "mixer.in_proj.bias", &in_proj);
    units.rows("mixer.conv1d.weight", &conv, &[1, c.d_conv]);
    units.rows_if(c.use_conv_bias, "mixer.conv1d.bias", &conv);
    units
}

fn llama_heads(c: &LlamaConfig) -> Units {
    let queries = c.n_head / c.n_kv_head * c.headdim;
    let mut units = Units::new("model.layers.", c.n_kv_head, queries);
    for (weight, bias, width) in [
        ("self_attn.q_proj.weight", "self_attn.q_proj.bias", queries),
        ("self_attn.k_proj.weight", "self_attn.k_proj.bias", c.headdim),
        ("self_attn.v_proj.weight", "self_attn.v_proj.bias", c.headdim),
    ] {
        units.rows(weight, &[Each(width)], &[c.common.d_model]);
        units.rows_if(c.attention_bias, bias, &[Each(width)]);
    }
    units.reader("self_attn.o_proj.weight", c.common.d_model);
    units
}

fn llama_channels(c: &LlamaConfig) -> Units {
    let mut units = Units::new("model.layers.", c.d_ff, 1);
    for (weight, bias) in
        [("mlp.gate_proj.weight", "mlp.gate_proj.bias"), ("mlp.up_proj.weight", "mlp.up_proj.bias")]
    {
        units.rows(weight, &[Each(1)], &[c.common.d_model]);
        units.rows_if(c.mlp_bias, bias, &[Each(1)]);
    }
    units.reader("mlp.down_proj.weight", c.common.d_model);
    units
}

fn gpt_neox(c: &GptNeoXConfig) -> Units {
    let mut units = Units::new("gpt_neox.layers.", c.d_ff, 1);
    units.rows("mlp.dense_h_to_4h.weight", &[Each(1)], &[c.common.d_model]);
    units.rows("mlp.dense_h_to_4h.bias", &[Each(1)], &[]);
    units.reader("mlp.dense_4h_to_h.weight", c.common.d_model);
    units
}

/// Mamba-2's norm after the gate, whose mean square runs over the units.
pub const GATE_NORM: &str = "mixer.norm.weight";

/// Of `n`, rounded, but never all.
pub fn quota(n: usize, share: f64) -> usize {
    ((n as f64 * share).round() as usize).min(n.saturating_sub(1))
}

/// The number that is int(expand * d_model) = d_inner; the half keeps rounding from falling below.
fn expand(d_inner: usize, d_model: usize) -> f64 {
    match d_inner % d_model {
        0 => (d_inner / d_model) as f64,
        _ => (d_inner as f64 + 0.5) / d_model as f64,
    }
}

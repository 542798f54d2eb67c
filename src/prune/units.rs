//! What may be cut out of every layer alike: units, the tensors they run through, and the configuration without them.
//!
//! | unit | Mamba-1 layers | Mamba-2 layers | attention |
//! |---|---|---|---|
//! | channels, layers with an MLP | channels of the MLP | channels of the MLP | channels of the MLP |
//! | channels, layers without | channels of d_inner | whole heads, equally many of every group | - |
//! | heads | - | whole heads, equally many of every group | key/value heads with their queries, where stored apart |
//! | states | state columns (B, C and A) | state columns (B, C), equally many of every group | - |
//!
//! A unit exists where every layer of the model has it in the same size.
//! A tensor is cut along one axis, which is made of spans: some have a slice for every unit, others stay. Readers are
//! the matrices that multiply what the units put out; all else loses rows and nothing of what is left changes. State
//! columns have no reader.

use crate::config::{Attention, Mamba2Mixer, MambaMixer, Mixer, Mlp, MlpKind, ModelConfig};
use crate::models::{Edit, Names, Qkv};
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
    pub name: String,
    /// The weights of Mamba-2's norm after the gate, whose mean square runs over the units.
    pub is_gate_norm: bool,
    pub shape: Vec<usize>,
    /// Whether it is a matrix `[outputs, units * width]` that multiplies what the units put out.
    pub reads: bool,
    /// Which axis of `shape` is cut.
    axis: usize,
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
    names: &'static Names,
    change: Shrink,
}

/// What becomes smaller in the configuration.
#[derive(Clone, Copy)]
enum Shrink {
    Inner,
    Mamba2Heads,
    States,
    KvHeads,
    Mlp,
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
        let axis = self.axis;
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
    /// Errors: the architecture has none, or its layers differ.
    pub fn of(config: &ModelConfig, unit: &str) -> Result<Units> {
        Units::found(config, unit).ok_or_else(|| none(config, unit))
    }

    fn found(config: &ModelConfig, unit: &str) -> Option<Units> {
        let (names, first) = (Names::of(config.family), &config.layers[0]);
        let d_model = config.d_model();
        let alike = |same: bool, units: Units| same.then_some(units);
        let same_mixer = config.layers.iter().all(|layer| layer.mixer == first.mixer);
        let same_mlp = config.layers.iter().all(|layer| layer.mlp == first.mlp);
        match (unit, &first.mixer, &first.mlp) {
            ("channels", _, Some(m)) => alike(same_mlp, mlp(m, names, d_model)),
            ("channels", Mixer::Mamba(m), None) => alike(same_mixer, mamba(m, names, d_model)),
            ("channels", Mixer::Mamba2(m), None) | ("heads", Mixer::Mamba2(m), _) => {
                alike(same_mixer, mamba2(m, names, d_model))
            }
            // The norms of a Falcon Mamba run over the columns.
            ("states", Mixer::Mamba(m), _) if m.norm_eps.is_none() => {
                alike(same_mixer, mamba_states(m, names))
            }
            ("states", Mixer::Mamba2(m), _) => alike(same_mixer, mamba2_states(m, names, d_model)),
            ("heads", Mixer::Attention(a), _) => match names.qkv {
                Qkv::Three(parts) if names.has_free_heads => {
                    alike(same_mixer, kv_heads(a, parts, names, d_model))
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn new(names: &'static Names, change: Shrink, count: usize, width: usize) -> Units {
        Units { count, groups: 1, width, parts: Vec::new(), names, change }
    }

    fn part(&mut self, name: String, shape: Vec<usize>, axis: usize, spans: &[Span]) {
        let (is_gate_norm, reads, spans) = (false, false, spans.to_vec());
        self.parts.push(Part { name, is_gate_norm, shape, reads, axis, spans });
    }

    fn rows(&mut self, name: String, spans: &[Span], rest: &[usize]) {
        let mut shape = vec![self.length(spans)];
        shape.extend(rest);
        self.part(name, shape, 0, spans);
    }

    /// The rows of a linear layer with `inputs` columns.
    fn linear(&mut self, name: &str, bias: bool, spans: &[Span], inputs: usize) {
        self.rows(format!("{name}.weight"), spans, &[inputs]);
        if bias {
            self.rows(format!("{name}.bias"), spans, &[]);
        }
    }

    /// The convolution of a Mamba-2.
    fn conv(&mut self, name: String, m: &Mamba2Mixer, spans: &[Span]) {
        self.rows(format!("{name}.weight"), spans, &[1, m.d_conv]);
        if m.use_conv_bias {
            self.rows(format!("{name}.bias"), spans, &[]);
        }
    }

    fn reader(&mut self, name: &str, outputs: usize) {
        let spans = [Each(self.width)];
        let shape = vec![outputs, self.length(&spans)];
        self.part(format!("{name}.weight"), shape, 1, &spans);
        self.parts.last_mut().expect("just pushed").reads = true;
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
        format!("{}{}", self.names.layer(layer), part.name)
    }

    /// Units of every group that go for a share; one stays at least.
    pub fn quota(&self, share: f64) -> usize {
        quota(self.count / self.groups, share)
    }

    /// The configuration with so many units left, and what changes in config.json.
    pub fn shrink(&self, config: &ModelConfig, kept: usize) -> (ModelConfig, Fields) {
        let mut config = config.clone();
        let (number, d_model) = (kept as f64, config.d_model());
        let mut fields = Vec::new();
        for layer in &mut config.layers {
            fields = match (self.change, &mut layer.mixer, &mut layer.mlp) {
                (Shrink::Mlp, _, Some(m)) => {
                    m.d_ff = kept;
                    vec![(self.names.mlp.width_field, number)]
                }
                (Shrink::Inner, Mixer::Mamba(m), _) => {
                    m.d_inner = kept;
                    vec![("intermediate_size", number)]
                }
                (Shrink::States, Mixer::Mamba(m), _) => {
                    m.d_state = kept;
                    vec![("state_size", number)]
                }
                (Shrink::States, Mixer::Mamba2(m), _) => {
                    m.d_state = kept / m.n_groups;
                    vec![("state_size", m.d_state as f64)]
                }
                (Shrink::Mamba2Heads, Mixer::Mamba2(m), _) => {
                    m.n_head = kept;
                    m.d_inner = kept * m.headdim;
                    vec![("num_heads", number), ("expand", expand(m.d_inner, d_model))]
                }
                (Shrink::KvHeads, Mixer::Attention(a), _) => {
                    a.n_head = a.n_head / a.n_kv_head * kept;
                    a.n_kv_head = kept;
                    vec![
                        ("num_attention_heads", a.n_head as f64),
                        ("num_key_value_heads", number),
                        ("head_dim", a.headdim as f64),
                    ]
                }
                _ => unreachable!("units are made for layers that have them"),
            };
        }
        (config, fields)
    }
}

/// Names the units that there are.
fn none(config: &ModelConfig, unit: &str) -> Error {
    let has = |unit: &&&str| Units::found(config, unit).is_some();
    let there: Vec<&str> = ["channels", "heads", "states"].iter().filter(has).copied().collect();
    let expected = format!("{} or layers on this architecture", there.join(", "));
    Error::input("unit", unit, expected)
}

fn mamba(m: &MambaMixer, names: &'static Names, d_model: usize) -> Units {
    let mut units = Units::new(names, Shrink::Inner, m.d_inner, 1);
    let name = |part: &str| format!("{}{part}", names.ssm);
    units.linear(&name("in_proj"), m.use_bias, &[Each(1), Each(1)], d_model);
    units.rows(name("conv1d.weight"), &[Each(1)], &[1, m.d_conv]);
    if m.use_conv_bias {
        units.rows(name("conv1d.bias"), &[Each(1)], &[]);
    }
    units.reader(&name("x_proj"), m.dt_rank + 2 * m.d_state);
    units.linear(&name("dt_proj"), true, &[Each(1)], m.dt_rank);
    units.rows(name("A_log"), &[Each(1)], &[m.d_state]);
    units.rows(name("D"), &[Each(1)], &[]);
    units.reader(&name("out_proj"), d_model);
    units
}

fn mamba_states(m: &MambaMixer, names: &'static Names) -> Units {
    let mut units = Units::new(names, Shrink::States, m.d_state, 1);
    let x_proj = [Stays(m.dt_rank), Each(1), Each(1)]; // dt, B, C
    units.rows(format!("{}x_proj.weight", names.ssm), &x_proj, &[m.d_inner]);
    let a_log = vec![m.d_inner, m.d_state];
    units.part(format!("{}A_log", names.ssm), a_log, 1, &[Each(1)]);
    units
}

fn mamba2(m: &Mamba2Mixer, names: &'static Names, d_model: usize) -> Units {
    let mut units = Units::new(names, Shrink::Mamba2Heads, m.n_head, m.headdim);
    units.groups = m.n_groups;
    let name = |part: &str| format!("{}{part}", names.ssm);
    let (each, states) = (Each(m.headdim), Stays(2 * m.n_groups * m.d_state));
    let in_proj = [each, each, states, Each(1)]; // z, (x, B and C), dt
    units.linear(&name("in_proj"), m.use_bias, &in_proj, d_model);
    units.conv(name("conv1d"), m, &[each, states]);
    for part in ["dt_bias", "A_log", "D"] {
        units.rows(name(part), &[Each(1)], &[]);
    }
    units.rows(name("norm.weight"), &[each], &[]);
    units.parts.last_mut().expect("just pushed").is_gate_norm = true;
    units.reader(&name("out_proj"), d_model);
    units
}

fn mamba2_states(m: &Mamba2Mixer, names: &'static Names, d_model: usize) -> Units {
    let mut units = Units::new(names, Shrink::States, m.n_groups * m.d_state, 1);
    units.groups = m.n_groups;
    let name = |part: &str| format!("{}{part}", names.ssm);
    let in_proj = [Stays(2 * m.d_inner), Each(1), Each(1), Stays(m.n_head)]; // z and x, B, C, dt
    units.linear(&name("in_proj"), m.use_bias, &in_proj, d_model);
    units.conv(name("conv1d"), m, &[Stays(m.d_inner), Each(1), Each(1)]);
    units
}

fn kv_heads(a: &Attention, [q, k, v]: [&str; 3], names: &'static Names, d_model: usize) -> Units {
    let queries = a.n_head / a.n_kv_head * a.headdim;
    let mut units = Units::new(names, Shrink::KvHeads, a.n_kv_head, queries);
    for (part, width) in [(q, queries), (k, a.headdim), (v, a.headdim)] {
        units.linear(part, a.qkv_bias, &[Each(width)], d_model);
    }
    units.reader(names.o, d_model);
    units
}

fn mlp(m: &Mlp, names: &'static Names, d_model: usize) -> Units {
    let mut units = Units::new(names, Shrink::Mlp, m.d_ff, 1);
    match m.kind {
        MlpKind::SwiGlu if names.mlp.gate == names.mlp.up => {
            units.linear(names.mlp.up, m.bias, &[Each(1), Each(1)], d_model);
        }
        MlpKind::SwiGlu => {
            units.linear(names.mlp.gate, m.bias, &[Each(1)], d_model);
            units.linear(names.mlp.up, m.bias, &[Each(1)], d_model);
        }
        MlpKind::Plain(_) => units.linear(names.mlp.up, m.bias, &[Each(1)], d_model),
    }
    units.reader(names.mlp.down, d_model);
    units
}

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

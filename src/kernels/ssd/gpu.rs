//! The two forms of SSD as shaders.
//!
//! A pack dispatch lays out what is small (delta, decays, B, C) as vec4s, since a layer has more inputs than a stage
//! has bindings. Sequential: one more dispatch. Chunked (listing 1): scores, states, pass, output. All are free of
//! barriers and of shared memory: every lane keeps a tile in registers and reads its rows through the cache.
//! One token, which reads the whole state for little work, has a shader of its own, in which neighbours read neighbours.

use super::{Ssd, SsdForm};
use crate::backend::Tensor;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::kernels::{groups, spread};
use bytemuck::{Pod, Zeroable};

/// Tokens of a chunk.
pub(super) const CHUNK: usize = 64;
/// Heads a lane of the scores shader weighs; equals HEADS there.
const HEADS: usize = 8;

macro_rules! shader {
    ($name:literal, $reads:literal, $writes:literal) => {
        Shader {
            name: $name,
            source: &[wgsl!(include_str!(concat!("../../../shaders/", $name, ".wgsl")))],
            reads: $reads,
            writes: $writes,
        }
    };
}

static PACK: Shader = shader!("ssd_pack", 5, 1);
static SEQUENTIAL: Shader = shader!("ssd_sequential", 4, 2);
static STEP: Shader = shader!("ssd_step", 6, 2);
static SCORES: Shader = shader!("ssd_scores", 1, 1);
static STATES: Shader = shader!("ssd_states", 2, 1);
static PASS: Shader = shader!("ssd_pass", 2, 2);
static OUTPUT: Shader = shader!("ssd_output", 5, 1);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    seq_len: u32,
    n_head: u32,
    headdim: u32,
    n_groups: u32,
    d_state: u32,
    quads: u32,
    x_offset: u32,
    x_stride: u32,
    dt_offset: u32,
    dt_stride: u32,
    b_offset: u32,
    b_stride: u32,
    c_offset: u32,
    c_stride: u32,
    dt_min: f32,
    dt_max: f32,
}

fn params(s: &Ssd<'_>) -> Params {
    Params {
        seq_len: s.x.rows as u32,
        n_head: s.n_head as u32,
        headdim: s.headdim as u32,
        n_groups: s.n_groups as u32,
        d_state: s.d_state as u32,
        quads: quads(s) as u32,
        x_offset: s.x.offset() as u32,
        x_stride: s.x.stride() as u32,
        dt_offset: s.dt.offset() as u32,
        dt_stride: s.dt.stride() as u32,
        b_offset: s.b.offset() as u32,
        b_stride: s.b.stride() as u32,
        c_offset: s.c.offset() as u32,
        c_stride: s.c.stride() as u32,
        dt_min: s.dt_limit.0,
        // WGSL may assume that there are no infinities.
        dt_max: s.dt_limit.1.min(f32::MAX),
    }
}

/// Groups of four states; the shaders take up to four groups at a time.
fn quads(s: &Ssd<'_>) -> usize {
    s.d_state.div_ceil(16) * 4
}

struct Launch<'a> {
    gpu: &'a Gpu,
    params: Params,
    constants: &'a [(&'static str, f64)],
}

impl Launch<'_> {
    fn run(&self, shader: &'static Shader, reads: &[&Buffer], writes: &[&Buffer], g: [u32; 3]) {
        self.gpu.dispatch(&Dispatch {
            shader,
            entry: "main",
            constants: self.constants,
            params: bytemuck::bytes_of(&self.params),
            reads,
            writes,
            groups: g,
        });
    }
}

pub(super) fn on_gpu(gpu: &Gpu, s: &Ssd<'_>, form: SsdForm) -> (Tensor, Tensor) {
    let (len, rows) = (s.x.rows, s.n_head * s.headdim);
    let chunks = len.div_ceil(CHUNK);
    let y = gpu.alloc(len * rows * 4);
    let state = gpu.alloc(rows * s.d_state * 4);
    let outputs =
        [Tensor::on_gpu(len, rows, y.clone()), Tensor::on_gpu(rows, s.d_state, state.clone())];
    if len == 1 && form == SsdForm::Sequential && is_one_row(s) {
        step(gpu, s, [&y, &state]);
        return outputs.into();
    }
    let chunked = matches!(form, SsdForm::Chunked) as u32 as f64;
    let pack_constants = [("CHUNKED", chunked), ("CHUNK", CHUNK as f64)];
    let launch = Launch { gpu, params: params(s), constants: &pack_constants };
    let quads_in = 2 * len * s.n_groups * quads(s);
    let inputs = gpu.alloc((len * s.n_head + quads_in) * 16);
    let small = [s.dt.tensor, s.dt_bias, s.a, s.b.tensor, s.c.tensor].map(|tensor| tensor.gpu());
    let lanes = chunks * s.n_head + quads_in;
    launch.run(&PACK, &small, &[&inputs], spread(lanes.div_ceil(64)));
    match form {
        SsdForm::Sequential => {
            let launch = Launch { constants: &[], ..launch };
            let reads = [s.x.tensor.gpu(), &inputs, s.d.gpu(), s.state.gpu()];
            let lanes = s.n_head * s.headdim.div_ceil(2);
            launch.run(&SEQUENTIAL, &reads, &[&y, &state], [groups(lanes, 64), 1, 1]);
        }
        SsdForm::Chunked => {
            let launch = Launch { constants: &pack_constants[1..], ..launch };
            chunked_form(&launch, s, &inputs, &y, &state);
        }
    }
    outputs.into()
}

/// Whether x, B and C are parts of one tensor, as the models make them.
fn is_one_row(s: &Ssd<'_>) -> bool {
    s.b.tensor.is_same(s.x.tensor) && s.c.tensor.is_same(s.x.tensor)
}

fn step(gpu: &Gpu, s: &Ssd<'_>, writes: [&Buffer; 2]) {
    let launch = Launch { gpu, params: params(s), constants: &[] };
    let reads = [s.x.tensor, s.dt.tensor, s.dt_bias, s.a, s.d, s.state].map(|tensor| tensor.gpu());
    // 16 lanes a row.
    launch.run(&STEP, &reads, &writes, [groups(s.n_head * s.headdim, 4), 1, 1]);
}

fn chunked_form(launch: &Launch<'_>, s: &Ssd<'_>, inputs: &Buffer, y: &Buffer, state: &Buffer) {
    let (rows, chunks) = (s.n_head * s.headdim, s.x.rows.div_ceil(CHUNK));
    let x = s.x.tensor.gpu();
    let m = launch.gpu.alloc(chunks * s.n_head * CHUNK * CHUNK * 4);
    let parts = (s.n_head / s.n_groups).div_ceil(HEADS) * s.n_groups;
    let tiles = groups(CHUNK * CHUNK / 16, 64);
    launch.run(&SCORES, &[inputs], &[&m], [tiles, parts as u32, chunks as u32]);
    let states = launch.gpu.alloc(chunks * rows * quads(s) * 16);
    let lanes = s.headdim.div_ceil(4) * quads(s) / 2;
    let grid = |lanes| [groups(lanes, 64), s.n_head as u32, chunks as u32];
    launch.run(&STATES, &[x, inputs], &[&states], grid(lanes));
    let pass = spread((rows * quads(s)).div_ceil(64));
    launch.run(&PASS, &[inputs, s.state.gpu()], &[&states, state], pass);
    let lanes = s.headdim.div_ceil(4) * CHUNK / 4;
    launch.run(&OUTPUT, &[x, inputs, s.d.gpu(), &m, &states], &[y], grid(lanes));
}

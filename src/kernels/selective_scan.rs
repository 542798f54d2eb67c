//! Selective scan of Mamba-1: delta = softplus(dt); h[t] = exp(delta A) h[t-1] + delta u B; y = C.h + D u, and
//! y silu(z) where there is a gate.
//!
//! Shapes: u, dt, z, y `[seq_len, d_inner]`, A and the state h `[d_inner, d_state]`, B and C `[seq_len, d_state]`
//! (shared by all channels), D `[1, d_inner]`. Source: Gu & Dao 2023, algorithm 2 and section 3.3.
//! exp(delta A) is computed as 2^(delta A log2 e), with A log2 e made once.
//!
//! All forms walk over the tokens once and keep the states close: the shaders in registers, a lane a channel, or on a
//! real GPU four lanes a channel; the CPU form in the L1 cache, `WIDTH` channels side by side as SIMD lanes.
//! Materialising exp(delta A) for all tokens would move 17 times the memory. One token has a shader of its own.

mod cpu;

use super::{Case, groups, random, spread};
use crate::Rng;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static PACK: Shader = Shader {
    name: "selective_scan_pack",
    source: &[wgsl!(include_str!("../../shaders/selective_scan_pack.wgsl"))],
    reads: 4,
    writes: 1,
};
static SHADER: Shader = Shader {
    name: "selective_scan",
    source: &[wgsl!(include_str!("../../shaders/selective_scan.wgsl"))],
    reads: 5,
    writes: 2,
};
static STEP: Shader = Shader {
    name: "selective_scan_step",
    source: &[wgsl!(include_str!("../../shaders/selective_scan_step.wgsl"))],
    reads: 7,
    writes: 2,
};
static TILES: Shader = Shader {
    name: "selective_scan_tiles",
    source: &[wgsl!(include_str!("../../shaders/selective_scan_tiles.wgsl"))],
    reads: 5,
    writes: 2,
};
static BARRIER: Shader = Shader {
    name: "selective_scan_barrier",
    source: &[wgsl!(include_str!("../../shaders/selective_scan_barrier.wgsl"))],
    reads: 5,
    writes: 2,
};

/// States that the lanes of a channel hold in the form for real GPUs.
const TILES_STATES: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct PackParams {
    seq_len: u32,
    d_inner: u32,
    d_state: u32,
    quads: u32,
    b_offset: u32,
    b_stride: u32,
    c_offset: u32,
    c_stride: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    seq_len: u32,
    d_inner: u32,
    d_state: u32,
    quads: u32,
    u_offset: u32,
    u_stride: u32,
    dt_offset: u32,
    dt_stride: u32,
    z_offset: u32,
    z_stride: u32,
    has_gate: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct StepParams {
    seq_len: u32,
    d_inner: u32,
    d_state: u32,
    b_offset: u32,
    c_offset: u32,
    u_offset: u32,
    dt_offset: u32,
    z_offset: u32,
    has_gate: u32,
}

/// The inputs of a scan.
pub struct Scan<'a> {
    /// `[seq_len, d_inner]`.
    pub u: View<'a>,
    /// `[seq_len, d_inner]`, before softplus, bias already added.
    pub dt: View<'a>,
    /// `[d_inner, d_state]`: -exp(A_log).
    pub a: &'a Tensor,
    /// `[seq_len, d_state]`.
    pub b: View<'a>,
    /// `[seq_len, d_state]`.
    pub c: View<'a>,
    /// `[1, d_inner]`.
    pub d: &'a Tensor,
    /// z `[seq_len, d_inner]`.
    pub gate: Option<View<'a>>,
    /// h before the first token, `[d_inner, d_state]`.
    pub state: &'a Tensor,
}

impl Scan<'_> {
    fn check(&self) {
        let (len, d_inner, d_state) = (self.u.rows, self.u.cols, self.a.cols());
        let sequence = |v: &View<'_>, cols: usize, name: &str| {
            assert_eq!((v.rows, v.cols), (len, cols), "selective_scan {name}");
        };
        sequence(&self.dt, d_inner, "dt");
        sequence(&self.b, d_state, "B");
        sequence(&self.c, d_state, "C");
        if let Some(z) = &self.gate {
            sequence(z, d_inner, "gate");
        }
        assert_eq!(self.a.rows(), d_inner, "selective_scan A");
        assert_eq!(self.d.cols(), d_inner, "selective_scan D");
        assert_eq!(
            (self.state.rows(), self.state.cols()),
            (d_inner, d_state),
            "selective_scan state"
        );
    }
}

/// Scans the chunk from `state`; gives y `[seq_len, d_inner]` and the state after its last token.
pub fn selective_scan(device: &Device, input: &Scan<'_>) -> (Tensor, Tensor) {
    input.check();
    match device {
        Device::Cpu => cpu::scan(input),
        Device::Gpu(gpu) if fits_step(gpu, input) => step(gpu, input),
        // A lane a channel leaves most of a real GPU idle; a program on a CPU pays dearly for barriers.
        Device::Gpu(gpu) if !gpu.is_software() && input.a.cols() <= TILES_STATES => {
            selective_scan_tiles(gpu, input)
        }
        Device::Gpu(gpu) => {
            let groups = groups(input.u.cols, 64);
            on_gpu(gpu, input, &SHADER, &[], groups)
        }
    }
}

/// The form for real GPUs: 16 channels and 16 tokens at a time, at most 16 states. GPU only.
#[doc(hidden)]
pub fn selective_scan_tiles(gpu: &Gpu, input: &Scan<'_>) -> (Tensor, Tensor) {
    input.check();
    assert!(input.a.cols() <= TILES_STATES, "selective_scan_tiles: d_state over {TILES_STATES}");
    on_gpu(gpu, input, &TILES, &[], groups(input.u.cols, 16))
}

/// The barrier form, for benchmarks alone: the same result, slower. GPU only, d_state at most 256.
#[doc(hidden)]
pub fn selective_scan_barrier(gpu: &Gpu, input: &Scan<'_>) -> (Tensor, Tensor) {
    input.check();
    let lanes = input.a.cols().next_power_of_two();
    assert!(lanes <= 256, "selective_scan_barrier: d_state over 256");
    on_gpu(gpu, input, &BARRIER, &[("LANES", lanes as f64)], input.u.cols as u32)
}

/// Whether this is one token whose B and C are parts of one tensor, as the models make them, and the adapter binds as
/// many buffers as the step has: one more than every adapter does.
fn fits_step(gpu: &Gpu, input: &Scan<'_>) -> bool {
    let bindings = STEP.reads + STEP.writes;
    input.u.rows == 1 && input.b.tensor.is_same(input.c.tensor) && gpu.storage_buffers() >= bindings
}

/// One token in one launch.
fn step(gpu: &Gpu, input: &Scan<'_>) -> (Tensor, Tensor) {
    let (d_inner, d_state) = (input.u.cols, input.a.cols());
    let z = input.gate.unwrap_or(input.u);
    let params = StepParams {
        seq_len: 1,
        d_inner: d_inner as u32,
        d_state: d_state as u32,
        b_offset: input.b.offset() as u32,
        c_offset: input.c.offset() as u32,
        u_offset: input.u.offset() as u32,
        dt_offset: input.dt.offset() as u32,
        z_offset: z.offset() as u32,
        has_gate: input.gate.is_some().into(),
    };
    let (y, state) = (gpu.alloc(d_inner * 4), gpu.alloc(d_inner * d_state * 4));
    let reads =
        [input.u.tensor, input.dt.tensor, z.tensor, input.a, input.b.tensor, input.d, input.state];
    gpu.dispatch(&Dispatch {
        shader: &STEP,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &reads.map(|tensor| tensor.gpu()),
        writes: &[&y, &state],
        // 16 lanes a channel.
        groups: [groups(d_inner, 4), 1, 1],
    });
    (Tensor::on_gpu(1, d_inner, y), Tensor::on_gpu(d_inner, d_state, state))
}

/// A, the state, B and C in one buffer of quads: a scan has more inputs than a stage has bindings.
fn pack(gpu: &Gpu, input: &Scan<'_>, quads: usize) -> Buffer {
    let (len, d_inner) = (input.u.rows, input.u.cols);
    let items = 2 * quads * (d_inner + len);
    let packed = gpu.alloc(items * 16);
    let params = PackParams {
        seq_len: len as u32,
        d_inner: d_inner as u32,
        d_state: input.a.cols() as u32,
        quads: quads as u32,
        b_offset: input.b.offset() as u32,
        b_stride: input.b.stride() as u32,
        c_offset: input.c.offset() as u32,
        c_stride: input.c.stride() as u32,
    };
    gpu.dispatch(&Dispatch {
        shader: &PACK,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[input.a.gpu(), input.state.gpu(), input.b.tensor.gpu(), input.c.tensor.gpu()],
        writes: &[&packed],
        groups: spread(items.div_ceil(64)),
    });
    packed
}

fn on_gpu(
    gpu: &Gpu,
    input: &Scan<'_>,
    shader: &'static Shader,
    constants: &[(&'static str, f64)],
    groups: u32,
) -> (Tensor, Tensor) {
    let (len, d_inner, d_state) = (input.u.rows, input.u.cols, input.a.cols());
    // The scan takes four quads at a time.
    let quads = d_state.div_ceil(16) * 4;
    let packed = pack(gpu, input, quads);
    let z = input.gate.unwrap_or(input.u);
    let params = Params {
        seq_len: len as u32,
        d_inner: d_inner as u32,
        d_state: d_state as u32,
        quads: quads as u32,
        u_offset: input.u.offset() as u32,
        u_stride: input.u.stride() as u32,
        dt_offset: input.dt.offset() as u32,
        dt_stride: input.dt.stride() as u32,
        z_offset: z.offset() as u32,
        z_stride: z.stride() as u32,
        has_gate: input.gate.is_some().into(),
    };
    let y = gpu.alloc(len * d_inner * 4);
    let state = gpu.alloc(d_inner * d_state * 4);
    gpu.dispatch(&Dispatch {
        shader,
        entry: "main",
        constants,
        params: bytemuck::bytes_of(&params),
        reads: &[
            input.u.tensor.gpu(),
            input.dt.tensor.gpu(),
            z.tensor.gpu(),
            input.d.gpu(),
            &packed,
        ],
        writes: &[&y, &state],
        groups: [groups, 1, 1],
    });
    (Tensor::on_gpu(len, d_inner, y), Tensor::on_gpu(d_inner, d_state, state))
}

/// Tensors of a scan as a layer makes them: u and z, and B and C, are columns of one tensor each.
#[doc(hidden)]
pub struct Example {
    uz: Tensor,
    dt: Tensor,
    a: Tensor,
    bc: Tensor,
    d: Tensor,
    state: Tensor,
}

impl Example {
    pub fn new(device: &Device, seed: u64, len: usize, d_inner: usize, d_state: usize) -> Self {
        let mut rng = Rng::new(seed);
        // A = -(1..=d_state) is how Mamba starts; dt around 1e-3..1 covers slow and quick decay.
        let a: Vec<f32> = (0..d_inner * d_state)
            .map(|i| -((i % d_state + 1) as f32) * (0.5 + rng.uniform()))
            .collect();
        let dt: Vec<f32> = (0..len * d_inner).map(|_| rng.normal() * 2.5 - 3.0).collect();
        Self {
            uz: random(device, &mut rng, len, 2 * d_inner + 1),
            dt: device.tensor(len, d_inner, &dt),
            a: device.tensor(d_inner, d_state, &a),
            bc: random(device, &mut rng, len, 2 * d_state + 3),
            d: random(device, &mut rng, 1, d_inner),
            state: random(device, &mut rng, d_inner, d_state),
        }
    }

    pub fn scan(&self) -> Scan<'_> {
        let (d_inner, d_state) = (self.dt.cols(), self.a.cols());
        Scan {
            u: self.uz.columns(0, d_inner),
            dt: self.dt.view(),
            a: &self.a,
            b: self.bc.columns(3, d_state),
            c: self.bc.columns(3 + d_state, d_state),
            d: &self.d,
            gate: Some(self.uz.columns(d_inner + 1, d_inner)),
            state: &self.state,
        }
    }
}

/// One of each, around the 64 lanes, the 16 states of a walk and the CPU's block; views throughout.
pub fn cases() -> Vec<Case> {
    let why =
        "sums of up to 64 states, up to 130 steps of decay by an exp2 within 3 + 2|x| ulp (WGSL)";
    let sizes = [
        (1, 1, 1),
        (1, 65, 17),
        (1, 96, 16),
        (2, 63, 15),
        (5, 64, 16),
        (33, 65, 17),
        (7, 31, 5),
        (17, 15, 16),
        (130, 96, 16),
        (9, 40, 64),
    ];
    let forms: [(&str, Scanner); 4] = [
        ("", |device, example| selective_scan(device, &example.scan())),
        (" without gate", |device, example| {
            selective_scan(device, &Scan { gate: None, ..example.scan() })
        }),
        (" in tiles", |device, example| match device {
            Device::Gpu(gpu) if example.a.cols() <= TILES_STATES => {
                selective_scan_tiles(gpu, &example.scan())
            }
            _ => selective_scan(device, &example.scan()),
        }),
        (" with barriers", |device, example| match device {
            Device::Cpu => selective_scan(device, &example.scan()),
            Device::Gpu(gpu) => selective_scan_barrier(gpu, &example.scan()),
        }),
    ];
    let mut cases = Vec::new();
    for (len, d_inner, d_state) in sizes {
        for (name, scan) in forms {
            cases.push(Case {
                name: format!("selective_scan{name} {len}x{d_inner}, {d_state} states"),
                tolerance: 5e-5,
                why,
                run: Box::new(move |device| {
                    let (y, state) = scan(device, &Example::new(device, 1, len, d_inner, d_state));
                    vec![y, state]
                }),
            });
        }
    }
    cases
}

type Scanner = fn(&Device, &Example) -> (Tensor, Tensor);

#[cfg(test)]
mod tests;

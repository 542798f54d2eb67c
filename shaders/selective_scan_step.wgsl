// One token: h = exp(delta A) h + delta u B; y = C.h + D u, times silu(z) where there is a gate; see
// src/kernels/selective_scan.rs. 16 neighbours share a channel, 4 channels a workgroup, so that they read and write
// neighbouring memory. B and C are parts of one row.

struct Params {
    seq_len: u32, d_inner: u32, d_state: u32, b_offset: u32, c_offset: u32,
    u_offset: u32, dt_offset: u32, z_offset: u32, has_gate: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;               // [d_inner], from u_offset
@group(0) @binding(2) var<storage, read> dt: array<f32>;              // [d_inner], from dt_offset
@group(0) @binding(3) var<storage, read> z: array<f32>;               // [d_inner], from z_offset
@group(0) @binding(4) var<storage, read> a: array<f32>;               // [d_inner, d_state]
@group(0) @binding(5) var<storage, read> bc: array<f32>;              // B and C, from their offsets
@group(0) @binding(6) var<storage, read> d: array<f32>;               // [d_inner]
@group(0) @binding(7) var<storage, read> state: array<f32>;           // [d_inner, d_state]
@group(0) @binding(8) var<storage, read_write> y: array<f32>;         // [d_inner]
@group(0) @binding(9) var<storage, read_write> new_state: array<f32>; // [d_inner, d_state]

const LANES = 16u;
const LOG2_E = 1.4426950408889634;
var<workgroup> partial: array<f32, 64>;

// log(1 + e^x), precise relative to the result also where it is small: 2 atanh(e / (2 + e)).
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = e / (2.0 + e);
    let w = s * s;
    let series = 1.0 + w * (0.33333158 + w * (0.20012455 + w * (0.13980301 + w * 0.14089168)));
    return max(x, 0.0) + 2.0 * s * series;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = local % LANES;
    let channel = wg.x * (64u / LANES) + local / LANES;
    // The last channel stands for channels that are not there.
    let c = min(channel, p.d_inner - 1u);
    let delta = softplus(dt[p.dt_offset + c]);
    let x = u[p.u_offset + c];
    var sum = 0.0;
    for (var n = lane; n < p.d_state; n += LANES) {
        let at = c * p.d_state + n;
        let h = exp2(delta * (a[at] * LOG2_E)) * state[at] + delta * x * bc[p.b_offset + n];
        sum += h * bc[p.c_offset + n];
        if channel < p.d_inner { new_state[at] = h; }
    }
    partial[local] = sum;
    workgroupBarrier();
    if lane != 0u || channel >= p.d_inner { return; }
    for (var i = 1u; i < LANES; i++) { sum += partial[local + i]; }
    var out = sum + d[c] * x;
    if p.has_gate != 0u {
        let gate = z[p.z_offset + c];
        out *= gate / (1.0 + exp(min(-gate, 80.0)));
    }
    y[c] = out;
}

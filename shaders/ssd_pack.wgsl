// Lays out the small inputs of an SSD layer as vec4s; see src/kernels/ssd/gpu.rs.
// steps [seq_len, n_head]: (delta, decay = exp(delta A), 0, 0) for the sequential form, or for the chunked form
// (delta, cum = log2 of the decay from the start of the chunk to t inclusive, w = delta times the decay from t to the
// end of the chunk, 2^cum). Then B and C [seq_len, n_groups, quads], zeros past d_state.

struct Params {
    seq_len: u32, n_head: u32, headdim: u32, n_groups: u32, d_state: u32, quads: u32,
    x_offset: u32, x_stride: u32, dt_offset: u32, dt_stride: u32,
    b_offset: u32, b_stride: u32, c_offset: u32, c_stride: u32,
    dt_min: f32, dt_max: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dt: array<f32>;           // [seq_len, dt_stride], from dt_offset
@group(0) @binding(2) var<storage, read> dt_bias: array<f32>;      // [n_head]
@group(0) @binding(3) var<storage, read> a: array<f32>;            // [n_head]
@group(0) @binding(4) var<storage, read> b: array<f32>;            // [seq_len, b_stride], from b_offset
@group(0) @binding(5) var<storage, read> c: array<f32>;            // [seq_len, c_stride], from c_offset
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;  // see above

override CHUNKED = false;
override CHUNK = 64u;
const LOG2_E = 1.4426950408889634;

// log(1 + e^x), precise relative to the result also where it is small: 2 atanh(e / (2 + e)).
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = e / (2.0 + e);
    let w = s * s;
    let series = 1.0 + w * (0.33333158 + w * (0.20012455 + w * (0.13980301 + w * 0.14089168)));
    return max(x, 0.0) + 2.0 * s * series;
}

// One head over one chunk: its decays add up from token to token.
fn pack_steps(chunk: u32, h: u32) {
    let first = chunk * CHUNK;
    let end = min(first + CHUNK, p.seq_len);
    var cum = 0.0;
    for (var t = first; t < end; t++) {
        let raw = dt[p.dt_offset + t * p.dt_stride + h] + dt_bias[h];
        let delta = clamp(softplus(raw), p.dt_min, p.dt_max);
        let log_decay = delta * a[h] * LOG2_E;
        cum += log_decay;
        out[t * p.n_head + h] = vec4f(delta, select(exp2(log_decay), cum, CHUNKED), 0.0, 0.0);
    }
    if CHUNKED {
        for (var t = first; t < end; t++) {
            let i = t * p.n_head + h;
            let step = out[i];
            out[i] = vec4f(step.xy, step.x * exp2(cum - step.y), exp2(step.y));
        }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) n: vec3u,
        @builtin(local_invocation_index) lane: u32) {
    var i = (group.y * n.x + group.x) * 64u + lane;
    let chunks = (p.seq_len + CHUNK - 1u) / CHUNK;
    if i < chunks * p.n_head {
        pack_steps(i / p.n_head, i % p.n_head);
        return;
    }
    i -= chunks * p.n_head;
    let plane = p.seq_len * p.n_groups * p.quads;
    if i >= 2u * plane { return; }
    let first = i % p.quads * 4u;
    let row = (i % plane) / p.quads;
    let at = row % p.n_groups * p.d_state + first;
    let t = row / p.n_groups;
    var v = vec4f();
    for (var k = 0u; k < 4u; k++) {
        if first + k < p.d_state {
            if i < plane { v[k] = b[p.b_offset + t * p.b_stride + at + k]; }
            else { v[k] = c[p.c_offset + t * p.c_stride + at + k]; }
        }
    }
    out[p.seq_len * p.n_head + i] = v;
}

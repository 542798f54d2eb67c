// One token: H = decay H + delta x (outer) B; y = H.C + D x; see src/kernels/ssd/gpu.rs.
// 16 neighbours share a row of the state, 4 rows a workgroup, so that they read and write neighbouring memory; delta
// and decay are computed where they are used. x, B and C are parts of one row.

struct Params {
    seq_len: u32, n_head: u32, headdim: u32, n_groups: u32, d_state: u32, quads: u32,
    x_offset: u32, x_stride: u32, dt_offset: u32, dt_stride: u32,
    b_offset: u32, b_stride: u32, c_offset: u32, c_stride: u32,
    dt_min: f32, dt_max: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> xbc: array<f32>;             // x, B and C, from their offsets
@group(0) @binding(2) var<storage, read> dt: array<f32>;              // [n_head], from dt_offset
@group(0) @binding(3) var<storage, read> dt_bias: array<f32>;         // [n_head]
@group(0) @binding(4) var<storage, read> a: array<f32>;               // [n_head]
@group(0) @binding(5) var<storage, read> d: array<f32>;               // [n_head]
@group(0) @binding(6) var<storage, read> state: array<f32>;           // [n_head * headdim, d_state]
@group(0) @binding(7) var<storage, read_write> y: array<f32>;         // [n_head * headdim]
@group(0) @binding(8) var<storage, read_write> new_state: array<f32>; // [n_head * headdim, d_state]

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
    let rows = p.n_head * p.headdim;
    let row = wg.x * (64u / LANES) + local / LANES;
    // The last row stands for rows that are not there.
    let r = min(row, rows - 1u);
    let head = r / p.headdim;
    let group = head / (p.n_head / p.n_groups) * p.d_state;
    let delta = clamp(softplus(dt[p.dt_offset + head] + dt_bias[head]), p.dt_min, p.dt_max);
    let decay = exp2(delta * a[head] * LOG2_E);
    let x = xbc[p.x_offset + r];
    let drive = delta * x;
    var sum = 0.0;
    for (var n = lane; n < p.d_state; n += LANES) {
        let h = decay * state[r * p.d_state + n] + drive * xbc[p.b_offset + group + n];
        sum += h * xbc[p.c_offset + group + n];
        if row < rows { new_state[r * p.d_state + n] = h; }
    }
    partial[local] = sum;
    workgroupBarrier();
    if lane != 0u || row >= rows { return; }
    for (var i = 1u; i < LANES; i++) { sum += partial[local + i]; }
    y[row] = d[head] * x + sum;
}

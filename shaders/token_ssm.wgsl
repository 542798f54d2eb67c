// Mean delta, its norm, or implicit attention without decay, of every token; see src/kernels/token_ssm.rs.
// 16 lanes share a row, 4 rows a workgroup, one barrier. The order of the sums is that of the CPU form.

struct Params {
    rows: u32, n_head: u32, headdim: u32, group: u32,   // group: heads that share B and C
    d_state: u32, mode: u32, has_bias: u32, low: f32,
    high: f32, scale: f32, x_offset: u32, x_stride: u32,
    dt_offset: u32, dt_stride: u32, b_offset: u32, b_stride: u32,
    c_offset: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [rows, n_head * headdim]
@group(0) @binding(2) var<storage, read> dt: array<f32>;           // [rows, n_head], raw
@group(0) @binding(3) var<storage, read> dt_bias: array<f32>;      // [n_head]
@group(0) @binding(4) var<storage, read> b: array<f32>;            // [rows, n_groups * d_state]
@group(0) @binding(5) var<storage, read> c: array<f32>;            // the last token's row, from c_offset
@group(0) @binding(6) var<storage, read_write> scores: array<f32>; // [rows]

const LANES = 16u;
const DELTA = 0u;
const DELTA_NORM = 2u;
var<workgroup> partial: array<f32, 64>;

fn softplus(v: f32) -> f32 {
    let e = exp(-abs(v));
    let s = e / (2.0 + e);
    let w = s * s;
    let series = 1.0 + w * (0.33333158 + w * (0.20012455 + w * (0.13980301 + w * 0.14089168)));
    return max(v, 0.0) + 2.0 * s * series;
}

// |C of the last token . B of this one| in a group of heads.
fn weight(row: u32, g: u32) -> f32 {
    var sum = 0.0;
    for (var s = 0u; s < p.d_state; s++) {
        sum += c[p.c_offset + g * p.d_state + s] * b[p.b_offset + row * p.b_stride + g * p.d_state + s];
    }
    return abs(sum);
}

@compute @workgroup_size(16, 4)
fn main(
    @builtin(workgroup_id) wg: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let row = wg.x * 4u + local.y;
    var sum = 0.0;
    if row < p.rows {
        var g = 0xffffffffu;
        var w = 0.0;
        for (var h = local.x; h < p.n_head; h += LANES) {
            var raw = dt[p.dt_offset + row * p.dt_stride + h];
            if p.has_bias != 0u { raw += dt_bias[h]; }
            let delta = clamp(softplus(raw), p.low, p.high);
            if p.mode == DELTA || p.mode == DELTA_NORM {
                sum += select(delta, delta * delta, p.mode == DELTA_NORM);
                continue;
            }
            if h / p.group != g {
                g = h / p.group;
                w = weight(row, g);
            }
            let first = p.x_offset + row * p.x_stride + h * p.headdim;
            var size = 0.0;
            for (var i = 0u; i < p.headdim; i++) { size += abs(x[first + i]); }
            sum += w * delta * size;
        }
    }
    partial[local.y * LANES + local.x] = sum;
    workgroupBarrier();
    if row >= p.rows || local.x != 0u { return; }
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) { total += partial[local.y * LANES + i]; }
    let score = total * p.scale;
    scores[row] = select(score, sqrt(max(score, 0.0)), p.mode == DELTA_NORM);
}

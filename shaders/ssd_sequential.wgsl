// H[t] = decay H[t-1] + delta x (outer) B; y = H.C + D x, token by token; see src/kernels/ssd/gpu.rs.
// A lane owns two rows of one head (B and C, the same for all rows, are then read half as often) and keeps 16 states of
// each in registers: no barrier. More states take more walks over the tokens, each adding to y, which only this
// lane touches.

struct Params {
    seq_len: u32, n_head: u32, headdim: u32, n_groups: u32, d_state: u32, quads: u32,
    x_offset: u32, x_stride: u32, dt_offset: u32, dt_stride: u32,
    b_offset: u32, b_stride: u32, c_offset: u32, c_stride: u32,
    dt_min: f32, dt_max: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;               // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> inputs: array<vec4f>;        // see ssd_pack.wgsl
@group(0) @binding(3) var<storage, read> d: array<f32>;               // [n_head]
@group(0) @binding(4) var<storage, read> state: array<f32>;           // [n_head * headdim, d_state]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;         // [seq_len, n_head * headdim]
@group(0) @binding(6) var<storage, read_write> new_state: array<f32>; // [n_head * headdim, d_state]

fn load(row: u32, quad: u32) -> vec4f {
    var v = vec4f();
    for (var k = 0u; k < 4u; k++) {
        if 4u * quad + k < p.d_state { v[k] = state[row * p.d_state + 4u * quad + k]; }
    }
    return v;
}

fn store(row: u32, quad: u32, v: vec4f) {
    for (var k = 0u; k < 4u; k++) {
        if 4u * quad + k < p.d_state { new_state[row * p.d_state + 4u * quad + k] = v[k]; }
    }
}

fn total(v: vec4f) -> f32 { return v.x + v.y + v.z + v.w; }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let pairs = (p.headdim + 1u) / 2u;
    let head = id.x / pairs;
    if head >= p.n_head { return; }
    let row = head * p.headdim + id.x % pairs;
    // With an odd headdim the last lane computes its one row twice.
    let row2 = min(row + pairs, (head + 1u) * p.headdim - 1u);
    let group = head / (p.n_head / p.n_groups);
    let d_inner = p.n_head * p.headdim;
    let plane = p.seq_len * p.n_groups * p.quads;
    let skip = d[head];
    for (var q = 0u; q < p.quads; q += 4u) {
        var h0 = load(row, q);
        var h1 = load(row, q + 1u);
        var h2 = load(row, q + 2u);
        var h3 = load(row, q + 3u);
        var g0 = load(row2, q);
        var g1 = load(row2, q + 1u);
        var g2 = load(row2, q + 2u);
        var g3 = load(row2, q + 3u);
        for (var t = 0u; t < p.seq_len; t++) {
            let step = inputs[t * p.n_head + head];
            let xh = x[p.x_offset + t * p.x_stride + row];
            let xg = x[p.x_offset + t * p.x_stride + row2];
            let dh = step.x * xh;
            let dg = step.x * xg;
            let at = p.seq_len * p.n_head + (t * p.n_groups + group) * p.quads + q;
            let b0 = inputs[at];
            let b1 = inputs[at + 1u];
            let b2 = inputs[at + 2u];
            let b3 = inputs[at + 3u];
            h0 = step.y * h0 + dh * b0;
            h1 = step.y * h1 + dh * b1;
            h2 = step.y * h2 + dh * b2;
            h3 = step.y * h3 + dh * b3;
            g0 = step.y * g0 + dg * b0;
            g1 = step.y * g1 + dg * b1;
            g2 = step.y * g2 + dg * b2;
            g3 = step.y * g3 + dg * b3;
            let c0 = inputs[at + plane];
            let c1 = inputs[at + plane + 1u];
            let c2 = inputs[at + plane + 2u];
            let c3 = inputs[at + plane + 3u];
            var yh = total(h0 * c0 + h1 * c1 + h2 * c2 + h3 * c3);
            var yg = total(g0 * c0 + g1 * c1 + g2 * c2 + g3 * c3);
            if q == 0u {
                yh += skip * xh;
                yg += skip * xg;
            } else {
                // Both are read before either is written: they may be one and the same.
                yh += y[t * d_inner + row];
                yg += y[t * d_inner + row2];
            }
            y[t * d_inner + row] = yh;
            y[t * d_inner + row2] = yg;
        }
        store(row, q, h0);
        store(row, q + 1u, h1);
        store(row, q + 2u, h2);
        store(row, q + 3u, h3);
        store(row2, q, g0);
        store(row2, q + 1u, g1);
        store(row2, q + 2u, g2);
        store(row2, q + 3u, g3);
    }
}

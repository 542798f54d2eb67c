// y_i = sum_j M[i, j] x_j + exp(cum_i) H.C_i + D x_i, H being the state a chunk starts from; see src/kernels/ssd/gpu.rs.
// A lane makes 4 tokens by 4 rows of a head; a vec4 holds the four rows.

struct Params {
    seq_len: u32, n_head: u32, headdim: u32, n_groups: u32, d_state: u32, quads: u32,
    x_offset: u32, x_stride: u32, dt_offset: u32, dt_stride: u32,
    b_offset: u32, b_stride: u32, c_offset: u32, c_stride: u32,
    dt_min: f32, dt_max: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> inputs: array<vec4f>; // see ssd_pack.wgsl
@group(0) @binding(3) var<storage, read> d: array<f32>;        // [n_head]
@group(0) @binding(4) var<storage, read> m: array<vec4f>;      // [chunks, n_head, CHUNK, CHUNK / 4]
@group(0) @binding(5) var<storage, read> states: array<vec4f>; // [chunks, n_head, headdim, quads]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [seq_len, n_head * headdim]

override CHUNK = 64u;

fn dots(a: vec4f, h0: vec4f, h1: vec4f, h2: vec4f, h3: vec4f) -> vec4f {
    return vec4f(dot(a, h0), dot(a, h1), dot(a, h2), dot(a, h3));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group_id: vec3u) {
    let rows = (p.headdim + 3u) / 4u;
    let row = id.x % rows * 4u;
    let tile = id.x / rows;
    let h = group_id.y;
    let chunk = group_id.z;
    let i = chunk * CHUNK + 4u * tile;
    if tile >= CHUNK / 4u || i >= p.seq_len { return; }
    let group = h / (p.n_head / p.n_groups);
    let last = p.seq_len - 1u;
    let r = min(row + vec4u(0u, 1u, 2u, 3u), vec4u(p.headdim - 1u));
    let i1 = min(i + 1u, last);
    let i2 = min(i + 2u, last);
    let i3 = min(i + 3u, last);
    // From the state.
    let plane = p.n_groups * p.quads;
    let c = p.seq_len * p.n_head + p.seq_len * plane + group * p.quads;
    let head = (chunk * p.n_head + h) * p.headdim;
    var y0 = vec4f();
    var y1 = vec4f();
    var y2 = vec4f();
    var y3 = vec4f();
    for (var q = 0u; q < p.quads; q++) {
        let h0 = states[(head + r.x) * p.quads + q];
        let h1 = states[(head + r.y) * p.quads + q];
        let h2 = states[(head + r.z) * p.quads + q];
        let h3 = states[(head + r.w) * p.quads + q];
        y0 += dots(inputs[c + i * plane + q], h0, h1, h2, h3);
        y1 += dots(inputs[c + i1 * plane + q], h0, h1, h2, h3);
        y2 += dots(inputs[c + i2 * plane + q], h0, h1, h2, h3);
        y3 += dots(inputs[c + i3 * plane + q], h0, h1, h2, h3);
    }
    y0 *= inputs[i * p.n_head + h].w;
    y1 *= inputs[i1 * p.n_head + h].w;
    y2 *= inputs[i2 * p.n_head + h].w;
    y3 *= inputs[i3 * p.n_head + h].w;
    // From the tokens of the chunk; M is 0 past the token itself, so a clamped index adds nothing.
    let scores = ((chunk * p.n_head + h) * CHUNK + 4u * tile) * (CHUNK / 4u);
    for (var j = 0u; j <= tile; j++) {
        let m0 = m[scores + j];
        let m1 = m[scores + CHUNK / 4u + j];
        let m2 = m[scores + CHUNK / 2u + j];
        let m3 = m[scores + CHUNK / 4u * 3u + j];
        for (var k = 0u; k < 4u; k++) {
            let at = p.x_offset + min(chunk * CHUNK + 4u * j + k, last) * p.x_stride + h * p.headdim;
            let v = vec4f(x[at + r.x], x[at + r.y], x[at + r.z], x[at + r.w]);
            y0 += m0[k] * v;
            y1 += m1[k] * v;
            y2 += m2[k] * v;
            y3 += m3[k] * v;
        }
    }
    let out = array<vec4f, 4>(y0, y1, y2, y3);
    for (var n = 0u; n < 4u; n++) {
        for (var k = 0u; k < 4u; k++) {
            if i + n <= last && row + k < p.headdim {
                let col = h * p.headdim + row + k;
                y[(i + n) * p.n_head * p.headdim + col] =
                    out[n][k] + d[h] * x[p.x_offset + (i + n) * p.x_stride + col];
            }
        }
    }
}

// M[i, j] = (C_i . B_j) exp(cum_i - cum_j) delta_j for j <= i, else 0: what token j of a chunk gives to token i.
// See src/kernels/ssd/gpu.rs. A lane makes a tile of 4 x 4 scores (shared by the heads of a group) and weighs it for
// HEADS heads.

struct Params {
    seq_len: u32, n_head: u32, headdim: u32, n_groups: u32, d_state: u32, quads: u32,
    x_offset: u32, x_stride: u32, dt_offset: u32, dt_stride: u32,
    b_offset: u32, b_stride: u32, c_offset: u32, c_stride: u32,
    dt_min: f32, dt_max: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> inputs: array<vec4f>;    // see ssd_pack.wgsl
@group(0) @binding(2) var<storage, read_write> m: array<vec4f>;   // [chunks, n_head, CHUNK, CHUNK / 4]

override CHUNK = 64u;
const HEADS = 8u;

fn weigh(scores: vec4f, i: u32, cum_i: f32, j: u32, h: u32) -> vec4f {
    var v = vec4f();
    for (var k = 0u; k < 4u; k++) {
        if j + k <= i && j + k < p.seq_len {
            let step = inputs[(j + k) * p.n_head + h];
            v[k] = scores[k] * exp2(cum_i - step.y) * step.x;
        }
    }
    return v;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group_id: vec3u) {
    let tiles = CHUNK / 4u;
    let tile_i = id.x / tiles;
    let tile_j = id.x % tiles;
    // Tiles above the diagonal are never read.
    if tile_i >= tiles || tile_j > tile_i { return; }
    let chunk = group_id.z;
    let heads = p.n_head / p.n_groups;
    let parts = (heads + HEADS - 1u) / HEADS;
    let group = group_id.y / parts;
    let i = chunk * CHUNK + 4u * tile_i;
    let j = chunk * CHUNK + 4u * tile_j;
    if i >= p.seq_len { return; }
    let last = p.seq_len - 1u;
    let plane = p.n_groups * p.quads;
    let b = p.seq_len * p.n_head + group * p.quads;
    let c = b + p.seq_len * plane;
    var s = array<vec4f, 4>();
    for (var q = 0u; q < p.quads; q++) {
        let b0 = inputs[b + min(j, last) * plane + q];
        let b1 = inputs[b + min(j + 1u, last) * plane + q];
        let b2 = inputs[b + min(j + 2u, last) * plane + q];
        let b3 = inputs[b + min(j + 3u, last) * plane + q];
        let c0 = inputs[c + i * plane + q];
        let c1 = inputs[c + min(i + 1u, last) * plane + q];
        let c2 = inputs[c + min(i + 2u, last) * plane + q];
        let c3 = inputs[c + min(i + 3u, last) * plane + q];
        s[0] += vec4f(dot(c0, b0), dot(c0, b1), dot(c0, b2), dot(c0, b3));
        s[1] += vec4f(dot(c1, b0), dot(c1, b1), dot(c1, b2), dot(c1, b3));
        s[2] += vec4f(dot(c2, b0), dot(c2, b1), dot(c2, b2), dot(c2, b3));
        s[3] += vec4f(dot(c3, b0), dot(c3, b1), dot(c3, b2), dot(c3, b3));
    }
    let first = group_id.y % parts * HEADS;
    for (var k = first; k < min(first + HEADS, heads); k++) {
        let h = group * heads + k;
        for (var r = 0u; r < 4u; r++) {
            let cum = inputs[min(i + r, last) * p.n_head + h].y;
            let at = ((chunk * p.n_head + h) * CHUNK + 4u * tile_i + r) * tiles + tile_j;
            m[at] = weigh(s[r], i + r, cum, j, h);
        }
    }
}

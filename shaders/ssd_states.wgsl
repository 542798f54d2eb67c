// S = sum over the tokens of a chunk of w x (outer) B: what a chunk alone adds to the state; see src/kernels/ssd/gpu.rs.
// A lane makes 4 rows of a head by 8 states.

struct Params {
    seq_len: u32, n_head: u32, headdim: u32, n_groups: u32, d_state: u32, quads: u32,
    x_offset: u32, x_stride: u32, dt_offset: u32, dt_stride: u32,
    b_offset: u32, b_stride: u32, c_offset: u32, c_stride: u32,
    dt_min: f32, dt_max: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;              // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> inputs: array<vec4f>;       // see ssd_pack.wgsl
@group(0) @binding(3) var<storage, read_write> states: array<vec4f>; // [chunks, n_head, headdim, quads]

override CHUNK = 64u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group_id: vec3u) {
    let pairs = p.quads / 2u;
    let row = id.x / pairs * 4u;
    let q = id.x % pairs * 2u;
    if row >= p.headdim { return; }
    let h = group_id.y;
    let chunk = group_id.z;
    let group = h / (p.n_head / p.n_groups);
    let last = p.headdim - 1u;
    let r1 = min(row + 1u, last);
    let r2 = min(row + 2u, last);
    let r3 = min(row + 3u, last);
    var s = array<vec4f, 8>();
    for (var t = chunk * CHUNK; t < min((chunk + 1u) * CHUNK, p.seq_len); t++) {
        let w = inputs[t * p.n_head + h].z;
        let at = p.seq_len * p.n_head + (t * p.n_groups + group) * p.quads + q;
        let b0 = w * inputs[at];
        let b1 = w * inputs[at + 1u];
        let start = p.x_offset + t * p.x_stride + h * p.headdim;
        let v = vec4f(x[start + row], x[start + r1], x[start + r2], x[start + r3]);
        s[0] += v.x * b0;
        s[1] += v.x * b1;
        s[2] += v.y * b0;
        s[3] += v.y * b1;
        s[4] += v.z * b0;
        s[5] += v.z * b1;
        s[6] += v.w * b0;
        s[7] += v.w * b1;
    }
    for (var r = 0u; r < 4u; r++) {
        if row + r <= last {
            let at = ((chunk * p.n_head + h) * p.headdim + row + r) * p.quads + q;
            states[at] = s[2u * r];
            states[at + 1u] = s[2u * r + 1u];
        }
    }
}

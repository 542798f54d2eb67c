// Turns what each chunk adds to the state into the state each chunk starts from, and gives the state after the last.
// See src/kernels/ssd/gpu.rs. A lane owns four states of one row and walks over the chunks.

struct Params {
    seq_len: u32, n_head: u32, headdim: u32, n_groups: u32, d_state: u32, quads: u32,
    x_offset: u32, x_stride: u32, dt_offset: u32, dt_stride: u32,
    b_offset: u32, b_stride: u32, c_offset: u32, c_stride: u32,
    dt_min: f32, dt_max: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> inputs: array<vec4f>;        // see ssd_pack.wgsl
@group(0) @binding(2) var<storage, read> state: array<f32>;           // [n_head * headdim, d_state]
@group(0) @binding(3) var<storage, read_write> states: array<vec4f>;  // [chunks, n_head * headdim, quads]
@group(0) @binding(4) var<storage, read_write> new_state: array<f32>; // [n_head * headdim, d_state]

override CHUNK = 64u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) n: vec3u,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * n.x + group.x) * 64u + lane;
    let rows = p.n_head * p.headdim;
    if i >= rows * p.quads { return; }
    let row = i / p.quads;
    let first = i % p.quads * 4u;
    let head = row / p.headdim;
    var h = vec4f();
    for (var k = 0u; k < 4u; k++) {
        if first + k < p.d_state { h[k] = state[row * p.d_state + first + k]; }
    }
    for (var start = 0u; start < p.seq_len; start += CHUNK) {
        let at = start / CHUNK * rows * p.quads + i;
        let added = states[at];
        states[at] = h;
        h = inputs[(min(start + CHUNK, p.seq_len) - 1u) * p.n_head + head].w * h + added;
    }
    for (var k = 0u; k < 4u; k++) {
        if first + k < p.d_state { new_state[row * p.d_state + first + k] = h[k]; }
    }
}

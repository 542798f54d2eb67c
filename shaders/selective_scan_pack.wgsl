// Lays out the small inputs of a selective scan for its inner loop; see src/kernels/selective_scan.rs.
// Out, in quads of four states (zeros past d_state): A * log2(e) [quads, d_inner], state [quads, d_inner],
// then for every token B [quads], C [quads]. Lanes of the scan then read neighbouring vec4s.

struct Params {
    seq_len: u32, d_inner: u32, d_state: u32, quads: u32,
    b_offset: u32, b_stride: u32, c_offset: u32, c_stride: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;            // [d_inner, d_state]
@group(0) @binding(2) var<storage, read> state: array<f32>;        // [d_inner, d_state]
@group(0) @binding(3) var<storage, read> b: array<f32>;            // [seq_len, b_stride], from b_offset
@group(0) @binding(4) var<storage, read> c: array<f32>;            // [seq_len, c_stride], from c_offset
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;  // [quads * (2 * d_inner + 2 * seq_len)]

const LOG2_E = 1.4426950408889634;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) n: vec3u,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * n.x + group.x) * 64u + lane;
    let plane = p.quads * p.d_inner;
    if i >= 2u * plane + 2u * p.seq_len * p.quads { return; }
    var v = vec4f();
    if i < 2u * plane {
        let within = i % plane;
        let first = within / p.d_inner * 4u;
        let start = (within % p.d_inner) * p.d_state;
        for (var k = 0u; k < 4u; k++) {
            if first + k < p.d_state {
                if i < plane { v[k] = a[start + first + k] * LOG2_E; }
                else { v[k] = state[start + first + k]; }
            }
        }
    } else {
        let row = (i - 2u * plane) / p.quads;
        let first = (i - 2u * plane) % p.quads * 4u;
        let t = row / 2u;
        for (var k = 0u; k < 4u; k++) {
            if first + k < p.d_state {
                if row % 2u == 0u { v[k] = b[p.b_offset + t * p.b_stride + first + k]; }
                else { v[k] = c[p.c_offset + t * p.c_stride + first + k]; }
            }
        }
    }
    out[i] = v;
}

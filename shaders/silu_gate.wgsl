// out[t, j] = y[t, j] * silu(z[t, j]); see src/kernels/silu_gate.rs.
// min: WGSL promises nothing about an exp that overflows.

struct Params { rows: u32, cols: u32, y_offset: u32, y_stride: u32, z_offset: u32, z_stride: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;         // [rows, y_stride], from y_offset
@group(0) @binding(2) var<storage, read> z: array<f32>;         // [rows, z_stride], from z_offset
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [rows, cols]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) n: vec3u,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * n.x + group.x) * 64u + lane;
    if i >= p.rows * p.cols { return; }
    let t = i / p.cols;
    let j = i % p.cols;
    let gate = z[p.z_offset + t * p.z_stride + j];
    out[i] = y[p.y_offset + t * p.y_stride + j] * gate / (1.0 + exp(min(-gate, 80.0)));
}

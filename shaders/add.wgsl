// y = a + b; see src/kernels/add.rs. One element a lane, neighbours in neighbouring lanes.

struct Params { n: u32, cols: u32, a_offset: u32, a_stride: u32, b_offset: u32, b_stride: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;       // [rows, a_stride], from a_offset
@group(0) @binding(2) var<storage, read> b: array<f32>;       // [rows, b_stride], from b_offset
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, cols]

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = (group.y * groups.x + group.x) * 256u + local.x;
    if i >= p.n { return; }
    let row = i / p.cols;
    let col = i - row * p.cols;
    y[i] = a[p.a_offset + row * p.a_stride + col] + b[p.b_offset + row * p.b_stride + col];
}

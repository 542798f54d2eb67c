// y[t, j] = table[ids[t], j]; see src/kernels/embedding.rs. One invocation copies eight values.

struct Params { rows: u32, cols: u32, vocab: u32, w_stride: u32, groups: u32, groups_x: u32 }

@group(0) @binding(0) var<uniform> p: Params;
// binding 1: the table [vocab, w_stride], see matmul_weights.wgsl
@group(0) @binding(2) var<storage, read> ids: array<u32>;     // [rows]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, cols]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = (group.y * p.groups_x + group.x) * 64u + local.x;
    let per_row = (p.cols + 7u) / 8u;
    let row = i / per_row;
    if row >= p.rows { return; }
    let j = (i % per_row) * 8u;
    let id = min(ids[row], p.vocab - 1u);
    let v = eight(id * p.w_stride + j);
    var values = array<f32, 8>(
        v.low.x, v.low.y, v.low.z, v.low.w, v.high.x, v.high.y, v.high.z, v.high.w);
    let n = min(8u, p.cols - j);
    for (var k = 0u; k < n; k++) { y[row * p.cols + j + k] = values[k]; }
}

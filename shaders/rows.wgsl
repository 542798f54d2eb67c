// Moving rows: concatenation, gather, dense copy; see src/kernels/rows.rs. One element a lane.

struct Params { n: u32, cols: u32, split: u32, x_offset: u32, x_stride: u32, b_offset: u32, b_stride: u32 }

@group(0) @binding(0) var<uniform> p: Params;
// An entry point uses one of each pair.
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [rows, x_stride], from x_offset
@group(0) @binding(1) var<storage, read> ids: array<u32>;         // [len]
@group(0) @binding(2) var<storage, read> b: array<f32>;           // [rows, b_stride], from b_offset
@group(0) @binding(2) var<storage, read> picks: array<u32>;       // [rows of y]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;     // [rows, cols]
@group(0) @binding(3) var<storage, read_write> y_ids: array<u32>; // [n]

fn index(group: vec3u, groups: vec3u, local: vec3u) -> u32 {
    return (group.y * groups.x + group.x) * 256u + local.x;
}

// y = the `split` rows of x, then the rows of b.
@compute @workgroup_size(256)
fn concat(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = index(group, groups, local);
    if i >= p.n { return; }
    let row = i / p.cols;
    let col = i - row * p.cols;
    if row < p.split {
        y[i] = x[p.x_offset + row * p.x_stride + col];
    } else {
        y[i] = b[p.b_offset + (row - p.split) * p.b_stride + col];
    }
}

// y[row] = x[picks[row]].
@compute @workgroup_size(256)
fn gather(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = index(group, groups, local);
    if i >= p.n { return; }
    let row = i / p.cols;
    let col = i - row * p.cols;
    y[i] = x[p.x_offset + picks[row] * p.x_stride + col];
}

// y_ids[i] = ids[picks[i]].
@compute @workgroup_size(256)
fn gather_ids(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = index(group, groups, local);
    if i >= p.n { return; }
    y_ids[i] = ids[picks[i]];
}

// y = x without its stride.
@compute @workgroup_size(256)
fn copy(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = index(group, groups, local);
    if i >= p.n { return; }
    let row = i / p.cols;
    y[i] = x[p.x_offset + row * p.x_stride + i - row * p.cols];
}

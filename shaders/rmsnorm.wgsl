// y[t, j] = w[j] * x[t, j] / sqrt(mean_j x[t, j]^2 + eps); see src/kernels/rmsnorm.rs.
// 16 lanes share a row, 4 rows a workgroup; one barrier a row (software adapters pay dearly for each).

struct Params { rows: u32, cols: u32, x_offset: u32, x_stride: u32, eps: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> weight: array<f32>;  // [cols]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, cols]

const LANES = 16u;
var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(16, 4)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let row = group.x * 4u + local.y;
    let start = p.x_offset + row * p.x_stride;
    var sum = 0.0;
    if row < p.rows {
        for (var j = local.x; j < p.cols; j += LANES) {
            let v = x[start + j];
            sum += v * v;
        }
    }
    partial[local.y * LANES + local.x] = sum;
    workgroupBarrier();
    if row >= p.rows { return; }
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) { total += partial[local.y * LANES + i]; }
    let scale = 1.0 / sqrt(total / f32(p.cols) + p.eps);
    for (var j = local.x; j < p.cols; j += LANES) {
        y[row * p.cols + j] = x[start + j] * scale * weight[j];
    }
}

var<workgroup> sums: array<f32, 256>;
var<workgroup> tops: array<f32, 16>;

// For real GPUs: 256 lanes a row, so that a decoded token does not wait for sixteen lanes to walk it.
@compute @workgroup_size(256)
fn wide(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    // The last row stands for rows that are not there.
    let row = min(group.y * groups.x + group.x, p.rows - 1u);
    let start = p.x_offset + row * p.x_stride;
    var sum = 0.0;
    for (var j = lane; j < p.cols; j += 256u) {
        let v = x[start + j];
        sum += v * v;
    }
    sums[lane] = sum;
    workgroupBarrier();
    if lane < 16u {
        sum = 0.0;
        for (var i = 0u; i < 16u; i++) { sum += sums[lane * 16u + i]; }
        tops[lane] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < 16u; i++) { total += tops[i]; }
    let scale = 1.0 / sqrt(total / f32(p.cols) + p.eps);
    for (var j = lane; j < p.cols; j += 256u) {
        y[row * p.cols + j] = x[start + j] * scale * weight[j];
    }
}

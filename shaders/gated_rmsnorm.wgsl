// x = y * silu(z); out[t, j] = w[j] * x[t, j] / sqrt(mean of x[t]^2 over the group of j + eps);
// see src/kernels/gated_rmsnorm.rs.
// 16 lanes share a group of one row, 4 groups a workgroup; one barrier in all. The gated value is computed twice:
// cheaper than holding it where a group may be any length.
// min: WGSL promises nothing about an exp that overflows.

struct Params {
    rows: u32, cols: u32, size: u32, eps: f32,
    y_offset: u32, y_stride: u32, z_offset: u32, z_stride: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;         // [rows, y_stride], from y_offset
@group(0) @binding(2) var<storage, read> z: array<f32>;         // [rows, z_stride], from z_offset
@group(0) @binding(3) var<storage, read> weight: array<f32>;    // [cols]
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // [rows, cols]

const LANES = 16u;
var<workgroup> partial: array<f32, 64>;

fn gated(t: u32, j: u32) -> f32 {
    let gate = z[p.z_offset + t * p.z_stride + j];
    return y[p.y_offset + t * p.y_stride + j] * gate / (1.0 + exp(min(-gate, 80.0)));
}

@compute @workgroup_size(16, 4)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) n: vec3u,
        @builtin(local_invocation_id) local: vec3u) {
    let item = (group.y * n.x + group.x) * 4u + local.y;
    let parts = p.cols / p.size;
    let inside = item < p.rows * parts;
    let t = item / parts;
    let start = (item % parts) * p.size;
    var sum = 0.0;
    if inside {
        for (var j = local.x; j < p.size; j += LANES) {
            let v = gated(t, start + j);
            sum += v * v;
        }
    }
    partial[local.y * LANES + local.x] = sum;
    workgroupBarrier();
    if !inside { return; }
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) { total += partial[local.y * LANES + i]; }
    let scale = 1.0 / sqrt(total / f32(p.size) + p.eps);
    for (var j = start + local.x; j < start + p.size; j += LANES) {
        out[t * p.cols + j] = gated(t, j) * scale * weight[j];
    }
}

var<workgroup> sums: array<f32, 256>;
var<workgroup> tops: array<f32, 16>;

// For real GPUs: 256 lanes a group, so that a decoded token does not wait for sixteen lanes to walk it.
@compute @workgroup_size(256)
fn wide(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) n: vec3u,
        @builtin(local_invocation_index) lane: u32) {
    let parts = p.cols / p.size;
    // The last group stands for groups that are not there.
    let item = min(group.y * n.x + group.x, p.rows * parts - 1u);
    let t = item / parts;
    let start = (item % parts) * p.size;
    var sum = 0.0;
    for (var j = lane; j < p.size; j += 256u) {
        let v = gated(t, start + j);
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
    let scale = 1.0 / sqrt(total / f32(p.size) + p.eps);
    for (var j = start + lane; j < start + p.size; j += 256u) {
        out[t * p.cols + j] = gated(t, j) * scale * weight[j];
    }
}

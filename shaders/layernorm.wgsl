// y = (x - mean) / sqrt(var + eps) * weight + bias over each row; see src/kernels/layernorm.rs.
// 16 lanes share a row, 4 rows a workgroup. Each lane takes the mean and the squared deviations of its own
// values; the lanes' shares are merged exactly (Chan et al. 1979), which needs one barrier instead of two.

struct Params { rows: u32, cols: u32, x_offset: u32, x_stride: u32, eps: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> weight: array<f32>;  // [cols]
@group(0) @binding(3) var<storage, read> bias: array<f32>;    // [cols]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [rows, cols]

const LANES = 16u;
// Count, mean and sum of squared deviations of every lane's values.
var<workgroup> partial: array<vec3f, 64>;

@compute @workgroup_size(16, 4)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let row = group.x * 4u + local.y;
    let start = p.x_offset + row * p.x_stride;
    var share = vec3f();
    if row < p.rows && local.x < p.cols {
        let count = f32((p.cols - local.x + LANES - 1u) / LANES);
        var sum = 0.0;
        for (var j = local.x; j < p.cols; j += LANES) { sum += x[start + j]; }
        let mean = sum / count;
        var squares = 0.0;
        for (var j = local.x; j < p.cols; j += LANES) {
            let d = x[start + j] - mean;
            squares += d * d;
        }
        share = vec3f(count, mean, squares);
    }
    partial[local.y * LANES + local.x] = share;
    workgroupBarrier();
    if row >= p.rows { return; }
    var mean = 0.0;
    for (var i = 0u; i < LANES; i++) {
        let s = partial[local.y * LANES + i];
        mean += s.x * s.y;
    }
    mean /= f32(p.cols);
    var squares = 0.0;
    for (var i = 0u; i < LANES; i++) {
        let s = partial[local.y * LANES + i];
        squares += s.z + s.x * (s.y - mean) * (s.y - mean);
    }
    let scale = 1.0 / sqrt(squares / f32(p.cols) + p.eps);
    for (var j = local.x; j < p.cols; j += LANES) {
        y[row * p.cols + j] = (x[start + j] - mean) * scale * weight[j] + bias[j];
    }
}

// One number a token; see src/kernels/token_score.rs.
// 16 lanes share a row, 4 rows a workgroup, one barrier. The order of the sums is that of the CPU form.

struct Params { rows: u32, cols: u32, y_offset: u32, y_stride: u32, score: u32, scale: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;            // [rows, y_stride], from y_offset
@group(0) @binding(2) var<storage, read_write> scores: array<f32>; // [rows]

const LANES = 16u;
const CLIP = 0u;
const L1 = 1u;
const L2 = 2u;
var<workgroup> partial: array<f32, 64>;

fn term(v: f32) -> f32 {
    switch p.score {
        case CLIP: { return max(v, 0.0); }
        case L1: { return abs(v); }
        case L2: { return v * v; }
        default: { return v; }
    }
}

@compute @workgroup_size(16, 4)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let row = group.x * 4u + local.y;
    let start = p.y_offset + row * p.y_stride;
    var sum = 0.0;
    if row < p.rows {
        for (var j = local.x; j < p.cols; j += LANES) { sum += term(y[start + j]); }
    }
    partial[local.y * LANES + local.x] = sum;
    workgroupBarrier();
    if row >= p.rows || local.x != 0u { return; }
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) { total += partial[local.y * LANES + i]; }
    total *= p.scale;
    if p.score == L2 { total = sqrt(total); }
    scores[row] = total;
}

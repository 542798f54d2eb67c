// s'[j] = s[j] + sum_t x[t, j]^2; see src/kernels/column_squares.rs. A thread a column, neighbours side by side.

struct Params { rows: u32, cols: u32, x_offset: u32, x_stride: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> sum: array<f32>;     // [cols]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [cols]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let j = id.x;
    if j >= p.cols { return; }
    var total = sum[j];
    for (var t = 0u; t < p.rows; t++) {
        let v = x[p.x_offset + t * p.x_stride + j];
        total += v * v;
    }
    y[j] = total;
}

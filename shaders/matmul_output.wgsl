// Parameters and results of the matmul shaders: y = x Wᵀ + bias + residual. This text stands before each of them.

struct Params {
    rows: u32, outs: u32, depth: u32,
    x_offset: u32, x_stride: u32, w_stride: u32,
    has_bias: u32, has_residual: u32,
    w_codes: u32, w_zeros: u32, w_groups: u32, w_group: u32, // of blocks: first words, groups of a row, inputs of a group
}

@group(0) @binding(0) var<uniform> p: Params;
// bindings 1 to 3: weights [outs, w_stride] (matmul_weights.wgsl or blocks_weights.wgsl) and x (matmul_input.wgsl)
@group(0) @binding(4) var<storage, read> bias: array<f32>;       // [1, outs]
@group(0) @binding(5) var<storage, read> residual: array<f32>;   // [rows, outs]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;    // [rows, outs]

fn put(row: u32, o: u32, sum: f32) {
    if row >= p.rows || o >= p.outs { return; }
    let i = row * p.outs + o;
    var v = sum;
    if p.has_bias != 0u { v += bias[o]; }
    if p.has_residual != 0u { v += residual[i]; }
    y[i] = v;
}

fn put4(row: u32, o: u32, sums: vec4f) {
    put(row, o, sums.x);
    put(row, o + 1u, sums.y);
    put(row, o + 2u, sums.z);
    put(row, o + 3u, sums.w);
}

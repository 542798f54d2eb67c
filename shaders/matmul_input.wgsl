// Activations x at bindings 2 and 3, for shaders that multiply them with weights. This text stands after
// matmul_weights.wgsl and before such a shader, whose Params have rows, outs, depth, x_offset, x_stride, w_stride.

// x can be read as vectors: offset and stride are multiples of four, depth is one of eight.
override X_VECTORS: bool = false;

@group(0) @binding(2) var<storage, read> x: array<f32>;           // [rows, x_stride], from x_offset
@group(0) @binding(3) var<storage, read> x_vectors: array<vec4f>; // the same memory

// Where row `row` of x starts; the last row stands for rows that are not there.
fn x_row(row: u32) -> u32 {
    return p.x_offset + min(row, p.rows - 1u) * p.x_stride;
}

// Values k..k + 4 of the row that starts at `start`, with zeros from `depth` on.
fn x4(start: u32, k: u32) -> vec4f {
    let i = start + k;
    if X_VECTORS { return x_vectors[i >> 2u]; }
    if k + 4u <= p.depth { return vec4f(x[i], x[i + 1u], x[i + 2u], x[i + 3u]); }
    var v = vec4f(0.0);
    if k < p.depth { v.x = x[i]; }
    if k + 1u < p.depth { v.y = x[i + 1u]; }
    if k + 2u < p.depth { v.z = x[i + 2u]; }
    return v;
}

// Where row `o` of W starts; the last row stands for rows that are not there.
fn w_row(o: u32) -> u32 {
    return min(o, p.outs - 1u) * p.w_stride;
}

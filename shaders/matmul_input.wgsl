// Activations x at bindings 2 and 3, for shaders that multiply them with weights. This text stands after
// matmul_weights.wgsl and before such a shader, whose Params have rows, outs, depth, x_offset, x_stride, w_stride.

// Offset, stride and depth of x are multiples of four: read it as vectors.
override X_VECTORS: bool = false;

@group(0) @binding(2) var<storage, read> x: array<f32>;          // [rows, x_stride], from x_offset
@group(0) @binding(3) var<storage, read> x_vectors: array<vec4f>; // the same memory

// x[row, k..k + 4] with zeros from `depth` on; the last row stands for rows that are not there.
fn x4(row: u32, k: u32) -> vec4f {
    let i = p.x_offset + min(row, p.rows - 1u) * p.x_stride + k;
    if X_VECTORS {
        if k < p.depth { return x_vectors[i >> 2u]; }
        return vec4f(0.0);
    }
    if k + 4u <= p.depth { return vec4f(x[i], x[i + 1u], x[i + 2u], x[i + 3u]); }
    var v = vec4f(0.0);
    if k < p.depth { v.x = x[i]; }
    if k + 1u < p.depth { v.y = x[i + 1u]; }
    if k + 2u < p.depth { v.z = x[i + 2u]; }
    return v;
}

// Row `o` of W at k..k + 8 (k a multiple of 8); the last row stands for rows that are not there.
fn w8(o: u32, k: u32) -> Eight {
    return eight(min(o, p.outs - 1u) * p.w_stride + k);
}

fn dots(v: vec4f, a: vec4f, b: vec4f, c: vec4f, d: vec4f) -> vec4f {
    return vec4f(dot(v, a), dot(v, b), dot(v, c), dot(v, d));
}

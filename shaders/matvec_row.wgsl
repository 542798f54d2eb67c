// A normed row times rows of weights: sum_k W[o, k] norm[k] x[k] / sqrt(mean x^2 + eps); see src/kernels/matvec_many.rs.
// This text stands after matmul_weights.wgsl and before the shaders that say where their weights are (`eight_of`).
// Every lane group meets the whole row, so the sum of squares that the norm needs comes along with the product.

struct Params {
    depth: u32, w_stride: u32, x_offset: u32, // x_offset in vec4s
    outs: u32, outs0: u32, outs1: u32,        // of all matrices, of the first two
    eps: f32,
    first: u32, cols: u32, taps: u32, has_bias: u32, // of a convolution
}

@group(0) @binding(0) var<uniform> p: Params;
// binding 1: weights [outs0, w_stride]
@group(0) @binding(2) var<storage, read> x: array<vec4f>;    // [1, depth], from x_offset
@group(0) @binding(3) var<storage, read> norm: array<vec4f>; // [1, depth]

override GATED: bool = false;

const LANES = 8u; // neighbours that share a row of weights

var<workgroup> partial: array<vec3f, 64>;

fn output(group: vec3u, groups: vec3u, local: u32) -> u32 {
    return (group.y * groups.x + group.x) * (64u / LANES) + local / LANES;
}

// min: WGSL promises nothing about an exp that overflows.
fn silu(v: f32) -> f32 { return v / (1.0 + exp(min(-v, 80.0))); }

fn product(a: Eight, b: Eight) -> f32 { return dot(a.low, b.low) + dot(a.high, b.high); }

// Eight weights, GATED also those of the second matrix.
struct Met { first: Eight, gated: Eight }

fn met_at(which: u32, at: u32) -> Met {
    if GATED { return Met(eight_of(which, at), eight_of(1u, at)); }
    return Met(eight_of(which, at), Eight());
}

// What eight inputs add: to the product, GATED to the second product, to the sum of squares.
fn met(k: u32, w: Met) -> vec3f {
    let i = k >> 2u;
    let v = Eight(x[p.x_offset + i], x[p.x_offset + i + 1u]);
    let n = Eight(v.low * norm[i], v.high * norm[i + 1u]);
    var s = vec3f(product(n, w.first), 0.0, product(v, v));
    if GATED { s.y = product(n, w.gated); }
    return s;
}

// Of output `o`, and GATED also of its row of the second matrix; whole in the first lane of an output.
fn sums(o: u32, local: u32) -> vec2f {
    var which = 0u;
    // The last output stands for outputs that are not there.
    var row = min(o, p.outs - 1u);
    if row >= p.outs0 {
        which = 1u;
        row -= p.outs0;
        if row >= p.outs1 {
            which = 2u;
            row -= p.outs1;
        }
    }
    let start = row * p.w_stride;
    var s = vec3f();
    var k = local % LANES * 8u;
    // Four reads of weights are under way before the first is waited for.
    for (; k + 24u * LANES < p.depth; k += 32u * LANES) {
        let a = met_at(which, start + k);
        let b = met_at(which, start + k + 8u * LANES);
        let c = met_at(which, start + k + 16u * LANES);
        let d = met_at(which, start + k + 24u * LANES);
        s += met(k, a);
        s += met(k + 8u * LANES, b);
        s += met(k + 16u * LANES, c);
        s += met(k + 24u * LANES, d);
    }
    for (; k < p.depth; k += 8u * LANES) { s += met(k, met_at(which, start + k)); }
    partial[local] = s;
    workgroupBarrier();
    for (var i = 1u; i < LANES; i++) { s += partial[min(local + i, 63u)]; }
    return s.xy / sqrt(s.z / f32(p.depth) + p.eps);
}

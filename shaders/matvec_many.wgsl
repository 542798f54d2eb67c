// Several products of the same few rows, the norm of the rows included; see src/kernels/matvec_many.rs.
// 8 lanes share an output, 8 outputs a workgroup. Every lane group meets the whole row, so the sum of squares that the
// norm needs comes along with the product: y = scale * sum_k w[o, k] norm[k] x[k], scale = 1 / sqrt(mean x^2 + eps).

struct Params {
    depth: u32, w_stride: u32, x_offset: u32, x_stride: u32, // x_offset and x_stride in vec4s
    outs0: u32, outs1: u32, outs2: u32, eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w0: array<vec4u>;    // [outs0, w_stride], f32 or f16
@group(0) @binding(2) var<storage, read> w1: array<vec4u>;    // [outs1, w_stride]
@group(0) @binding(3) var<storage, read> w2: array<vec4u>;    // [outs2, w_stride]
@group(0) @binding(4) var<storage, read> x: array<vec4f>;     // [rows, x_stride]
@group(0) @binding(5) var<storage, read> norm: array<vec4f>;  // [1, depth]
@group(0) @binding(6) var<storage, read_write> y: array<f32>; // [rows, outs0 + outs1 + outs2]; gated: [rows, outs0]

override F16: bool = false;
override ROWS: u32 = 4u;      // rows of x; a constant, so that what is not there costs nothing
override NORMED: bool = true; // false: y = x Wᵀ
override GATED: bool = false; // y = silu(x W0ᵀ) * (x W1ᵀ)

const LANES = 8u;
var<workgroup> sums: array<vec4f, 64>;
var<workgroup> ups: array<vec4f, 64>;
var<workgroup> squares: array<vec4f, 64>;

struct Eight { low: vec4f, high: vec4f }

fn halves(v: vec4u) -> Eight {
    return Eight(
        vec4f(unpack2x16float(v.x), unpack2x16float(v.y)),
        vec4f(unpack2x16float(v.z), unpack2x16float(v.w)),
    );
}

// Values at..at + 8 of matrix `which`.
fn eight(which: u32, at: u32) -> Eight {
    if F16 {
        let i = at >> 3u;
        if which == 0u { return halves(w0[i]); }
        if which == 1u { return halves(w1[i]); }
        return halves(w2[i]);
    }
    let i = at >> 2u;
    if which == 0u { return Eight(bitcast<vec4f>(w0[i]), bitcast<vec4f>(w0[i + 1u])); }
    if which == 1u { return Eight(bitcast<vec4f>(w1[i]), bitcast<vec4f>(w1[i + 1u])); }
    return Eight(bitcast<vec4f>(w2[i]), bitcast<vec4f>(w2[i + 1u]));
}

fn product(v: Eight, w: Eight) -> f32 { return dot(v.low, w.low) + dot(v.high, w.high); }

fn scaled(w: Eight, by: Eight) -> Eight { return Eight(w.low * by.low, w.high * by.high); }

fn row_of_x(row: u32, k: u32) -> Eight {
    let at = p.x_offset + row * p.x_stride + (k >> 2u);
    return Eight(x[at], x[at + 1u]);
}

fn put(row: u32, o: u32, outs: u32, sum: f32, up: f32, square: f32) {
    var scale = 1.0;
    if NORMED { scale = 1.0 / sqrt(square / f32(p.depth) + p.eps); }
    let v = sum * scale;
    if GATED {
        // min: WGSL promises nothing about an exp that overflows.
        y[row * outs + o] = v / (1.0 + exp(min(-v, 80.0))) * (up * scale);
    } else {
        y[row * outs + o] = v;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let outs = select(p.outs0 + p.outs1 + p.outs2, p.outs0, GATED);
    let o = (group.y * groups.x + group.x) * (64u / LANES) + local / LANES;
    var which = 0u;
    // The last output stands for outputs that are not there.
    var row = min(o, outs - 1u);
    if row >= p.outs0 {
        which = 1u;
        row -= p.outs0;
        if row >= p.outs1 {
            which = 2u;
            row -= p.outs1;
        }
    }
    let start = row * p.w_stride;
    var s = vec4f();
    var u = vec4f();
    var q = vec4f();
    for (var k = lane * 8u; k < p.depth; k += LANES * 8u) {
        var w = eight(which, start + k);
        var v = w;
        if GATED { v = eight(1u, start + k); }
        if NORMED {
            let n = Eight(norm[k >> 2u], norm[(k >> 2u) + 1u]);
            w = scaled(w, n);
            if GATED { v = scaled(v, n); }
        }
        let x0 = row_of_x(0u, k);
        s.x += product(x0, w);
        if GATED { u.x += product(x0, v); }
        if NORMED { q.x += product(x0, x0); }
        if ROWS > 1u {
            let x1 = row_of_x(1u, k);
            s.y += product(x1, w);
            if GATED { u.y += product(x1, v); }
            if NORMED { q.y += product(x1, x1); }
        }
        if ROWS > 2u {
            let x2 = row_of_x(2u, k);
            s.z += product(x2, w);
            if GATED { u.z += product(x2, v); }
            if NORMED { q.z += product(x2, x2); }
        }
        if ROWS > 3u {
            let x3 = row_of_x(3u, k);
            s.w += product(x3, w);
            if GATED { u.w += product(x3, v); }
            if NORMED { q.w += product(x3, x3); }
        }
    }
    sums[local] = s;
    ups[local] = u;
    squares[local] = q;
    workgroupBarrier();
    if lane != 0u || o >= outs { return; }
    for (var i = 1u; i < LANES; i++) {
        s += sums[local + i];
        u += ups[local + i];
        q += squares[local + i];
    }
    put(0u, o, outs, s.x, u.x, q.x);
    if ROWS > 1u { put(1u, o, outs, s.y, u.y, q.y); }
    if ROWS > 2u { put(2u, o, outs, s.z, u.z, q.z); }
    if ROWS > 3u { put(3u, o, outs, s.w, u.w, q.w); }
}

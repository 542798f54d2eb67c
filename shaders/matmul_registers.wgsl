// 8 rows by 8 outputs in the registers of one invocation: no workgroup memory and no barrier, for software adapters.
// This text stands before the shaders that use it. Rows of W times a row of x are a vector times a matrix.

struct Columns { low: mat4x4f, high: mat4x4f }

// Four rows of W at their values k..k + 8.
fn columns(a: u32, b: u32, c: u32, d: u32, k: u32) -> Columns {
    let v = array<Eight, 4>(eight(a + k), eight(b + k), eight(c + k), eight(d + k));
    return Columns(
        mat4x4f(v[0].low, v[1].low, v[2].low, v[3].low),
        mat4x4f(v[0].high, v[1].high, v[2].high, v[3].high),
    );
}

// x[r.., :] W[o.., :]ᵀ: row i of eight is [2 i] and [2 i + 1]. Every index is constant, so all of it is registers.
fn register_sums(r: u32, o: u32) -> array<vec4f, 16> {
    let w0 = w_row(o);
    let w1 = w_row(o + 1u);
    let w2 = w_row(o + 2u);
    let w3 = w_row(o + 3u);
    let w4 = w_row(o + 4u);
    let w5 = w_row(o + 5u);
    let w6 = w_row(o + 6u);
    let w7 = w_row(o + 7u);
    let r0 = x_row(r);
    let r1 = x_row(r + 1u);
    let r2 = x_row(r + 2u);
    let r3 = x_row(r + 3u);
    let r4 = x_row(r + 4u);
    let r5 = x_row(r + 5u);
    let r6 = x_row(r + 6u);
    let r7 = x_row(r + 7u);
    var s: array<vec4f, 16>;
    for (var k = 0u; k < p.depth; k += 8u) {
        let a = columns(w0, w1, w2, w3, k);
        let b = columns(w4, w5, w6, w7, k);
        var l = x4(r0, k);
        var h = x4(r0, k + 4u);
        s[0] += l * a.low + h * a.high;
        s[1] += l * b.low + h * b.high;
        l = x4(r1, k);
        h = x4(r1, k + 4u);
        s[2] += l * a.low + h * a.high;
        s[3] += l * b.low + h * b.high;
        l = x4(r2, k);
        h = x4(r2, k + 4u);
        s[4] += l * a.low + h * a.high;
        s[5] += l * b.low + h * b.high;
        l = x4(r3, k);
        h = x4(r3, k + 4u);
        s[6] += l * a.low + h * a.high;
        s[7] += l * b.low + h * b.high;
        l = x4(r4, k);
        h = x4(r4, k + 4u);
        s[8] += l * a.low + h * a.high;
        s[9] += l * b.low + h * b.high;
        l = x4(r5, k);
        h = x4(r5, k + 4u);
        s[10] += l * a.low + h * a.high;
        s[11] += l * b.low + h * b.high;
        l = x4(r6, k);
        h = x4(r6, k + 4u);
        s[12] += l * a.low + h * a.high;
        s[13] += l * b.low + h * b.high;
        l = x4(r7, k);
        h = x4(r7, k + 4u);
        s[14] += l * a.low + h * a.high;
        s[15] += l * b.low + h * b.high;
    }
    return s;
}

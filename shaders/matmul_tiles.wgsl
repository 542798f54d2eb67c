// Tiles of 64 rows by 64 outputs through workgroup memory, for workgroups of 64 in which an invocation keeps 8 rows by
// 8 outputs in registers. This text stands before the shaders that use it.

const DEPTH = 16u;
const SIDE = 16u; // vectors of four rows (or outputs) in a tile

// Inputs outermost, so that four neighbouring rows are one vector: [DEPTH, SIDE]
var<workgroup> x_tile: array<vec4f, 256>;
var<workgroup> w_tile: array<vec4f, 256>;

// Each invocation brings 4 rows by 4 inputs of x: a column of four invocations covers the depth.
fn bring_x(row: u32, k: u32, at: u32) {
    let v = transpose(mat4x4f(x4(row, k), x4(row + 1u, k), x4(row + 2u, k), x4(row + 3u, k)));
    x_tile[at] = v[0];
    x_tile[at + SIDE] = v[1];
    x_tile[at + 2u * SIDE] = v[2];
    x_tile[at + 3u * SIDE] = v[3];
}

// The weights in halves of eight inputs: 2 outputs by 8 inputs each.
fn bring_w(o: u32, k: u32, at: u32) {
    let a = w8(o, k);
    let b = w8(o + 1u, k);
    let c = w8(o + 2u, k);
    let d = w8(o + 3u, k);
    let low = transpose(mat4x4f(a.low, b.low, c.low, d.low));
    let high = transpose(mat4x4f(a.high, b.high, c.high, d.high));
    for (var i = 0u; i < 4u; i++) {
        w_tile[at + i * SIDE] = low[i];
        w_tile[at + (i + 4u) * SIDE] = high[i];
    }
}

// x[r.., :] W[o.., :]ᵀ for this invocation: row i of eight is [2 i] and [2 i + 1]. `r` and `o` are uniform.
fn tile_sums(r: u32, o: u32, local: u32) -> array<vec4f, 16> {
    let tx = local % 8u;
    let ty = local / 8u;
    var s: array<vec4f, 16>;
    for (var k = 0u; k < p.depth; k += DEPTH) {
        let q = local % 4u;
        let four = local / 4u;
        bring_x(r + four * 4u, k + q * 4u, q * 4u * SIDE + four);
        // Half of the invocations suffice for the weights; the rows of W end at w_stride, a multiple of 8.
        if local < 32u {
            let half = local % 2u;
            let outs = local / 2u;
            bring_w(o + outs * 4u, k + half * 8u, half * 8u * SIDE + outs);
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            let a = x_tile[i * SIDE + ty * 2u];
            let b = x_tile[i * SIDE + ty * 2u + 1u];
            let v = w_tile[i * SIDE + tx * 2u];
            let w = w_tile[i * SIDE + tx * 2u + 1u];
            s[0] += a.x * v; s[1] += a.x * w;
            s[2] += a.y * v; s[3] += a.y * w;
            s[4] += a.z * v; s[5] += a.z * w;
            s[6] += a.w * v; s[7] += a.w * w;
            s[8] += b.x * v; s[9] += b.x * w;
            s[10] += b.y * v; s[11] += b.y * w;
            s[12] += b.z * v; s[13] += b.z * w;
            s[14] += b.w * v; s[15] += b.w * w;
        }
        workgroupBarrier();
    }
    return s;
}

// Tiles of rows by outputs through workgroup memory, for workgroups of DOWN by ACROSS invocations of which each keeps 8
// rows by 8 outputs in registers: eights of rows, at least 4, and of outputs, at least 8 (src/kernels/matmul/parts.rs).
// This text stands before the shaders that use it.

const DEPTH = 16u;

// Inputs outermost, so that four neighbouring rows are one vector: [DEPTH, 2 DOWN] and [DEPTH, 2 ACROSS]
var<workgroup> x_tile: array<vec4f, 32u * DOWN>;
var<workgroup> w_tile: array<vec4f, 32u * ACROSS>;

// Four rows from `row` of x at inputs k..k + 4, turned; zeros where k is behind the depth.
fn x_block(row: u32, k: u32) -> mat4x4f {
    if k >= p.depth { return mat4x4f(); }
    return transpose(mat4x4f(
        x4(x_row(row), k), x4(x_row(row + 1u), k), x4(x_row(row + 2u), k), x4(x_row(row + 3u), k)));
}

// Four rows from `o` of W at inputs k..k + 8, turned; zeros where k is behind the depth.
fn w_block(o: u32, k: u32) -> array<mat4x4f, 2> {
    if k >= p.depth { return array<mat4x4f, 2>(); }
    let a = eight(w_row(o) + k);
    let b = eight(w_row(o + 1u) + k);
    let c = eight(w_row(o + 2u) + k);
    let d = eight(w_row(o + 3u) + k);
    return array<mat4x4f, 2>(
        transpose(mat4x4f(a.low, b.low, c.low, d.low)),
        transpose(mat4x4f(a.high, b.high, c.high, d.high)));
}

// Brings x[r..r + 8 DOWN, k..k + 16] and W[o..o + 8 ACROSS, k..k + 16] to workgroup memory.
fn bring(r: u32, o: u32, k: u32, local: u32) {
    // An invocation has four rows at four inputs, or four outputs at eight.
    if local < 8u * DOWN {
        let q = (local % 4u) * 4u;
        let four = local / 4u;
        let v = x_block(r + four * 4u, k + q);
        for (var i = 0u; i < 4u; i++) { x_tile[(q + i) * 2u * DOWN + four] = v[i]; }
    }
    if local < 4u * ACROSS {
        let h = (local % 2u) * 8u;
        let outs = local / 2u;
        let w = w_block(o + outs * 4u, k + h);
        for (var i = 0u; i < 4u; i++) {
            w_tile[(h + i) * 2u * ACROSS + outs] = w[0][i];
            w_tile[(h + i + 4u) * 2u * ACROSS + outs] = w[1][i];
        }
    }
}

// x[r.., :] W[o.., :]ᵀ for this invocation: row i of eight is [2 i] and [2 i + 1]. `r` and `o` are uniform.
fn tile_sums(r: u32, o: u32, local: u32) -> array<vec4f, 16> {
    let tx = local % ACROSS;
    let ty = local / ACROSS;
    var s: array<vec4f, 16>;
    for (var k = 0u; k < p.depth; k += DEPTH) {
        bring(r, o, k, local);
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            let m = 2u * (i * DOWN + ty);
            let n = 2u * (i * ACROSS + tx);
            let a = x_tile[m];
            let b = x_tile[m + 1u];
            let v = w_tile[n];
            let w = w_tile[n + 1u];
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

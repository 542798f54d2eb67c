// Tiles of rows by outputs through workgroup memory, for workgroups of DOWN by ACROSS invocations of which each keeps 8
// rows by 8 outputs in registers: eights of rows, at least 4, and of outputs, at least 8 (src/kernels/matmul/parts.rs).
// This text stands before matmul_tile_sums.wgsl or matmul_tile_sums_f16.wgsl. A Cell is vec4f, or vec4h.

const DEPTH = 16u;

// Inputs outermost, so that four neighbouring rows are one vector: [DEPTH, 2 DOWN] and [DEPTH, 2 ACROSS]
var<workgroup> x_tile: array<Cell, 32u * DOWN>;
var<workgroup> w_tile: array<Cell, 32u * ACROSS>;

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
        for (var i = 0u; i < 4u; i++) { x_tile[(q + i) * 2u * DOWN + four] = Cell(v[i]); }
    }
    if local < 4u * ACROSS {
        let h = (local % 2u) * 8u;
        let outs = local / 2u;
        let w = w_block(o + outs * 4u, k + h);
        for (var i = 0u; i < 4u; i++) {
            w_tile[(h + i) * 2u * ACROSS + outs] = Cell(w[0][i]);
            w_tile[(h + i + 4u) * 2u * ACROSS + outs] = Cell(w[1][i]);
        }
    }
}

// Sums of products of a tile in f32; this text stands after matmul_tiles.wgsl.

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

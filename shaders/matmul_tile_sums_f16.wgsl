// Factors, products and sums of 16 of them in f16, what is added to them in f32 (src/arithmetic.rs); this text stands after
// matmul_tiles.wgsl, and the shader begins with `enable f16;`.

// x[r.., :] W[o.., :]ᵀ for this invocation: row i of eight is [2 i] and [2 i + 1]. `r` and `o` are uniform.
fn tile_sums(r: u32, o: u32, local: u32) -> array<vec4f, 16> {
    let tx = local % ACROSS;
    let ty = local / ACROSS;
    var s: array<vec4f, 16>;
    for (var k = 0u; k < p.depth; k += DEPTH) {
        bring(r, o, k, local);
        workgroupBarrier();
        var h: array<vec4h, 16>;
        for (var i = 0u; i < DEPTH; i++) {
            let m = 2u * (i * DOWN + ty);
            let n = 2u * (i * ACROSS + tx);
            let a = x_tile[m];
            let b = x_tile[m + 1u];
            let v = w_tile[n];
            let w = w_tile[n + 1u];
            h[0] += a.x * v; h[1] += a.x * w;
            h[2] += a.y * v; h[3] += a.y * w;
            h[4] += a.z * v; h[5] += a.z * w;
            h[6] += a.w * v; h[7] += a.w * w;
            h[8] += b.x * v; h[9] += b.x * w;
            h[10] += b.y * v; h[11] += b.y * w;
            h[12] += b.z * v; h[13] += b.z * w;
            h[14] += b.w * v; h[15] += b.w * w;
        }
        s[0] += vec4f(h[0]); s[1] += vec4f(h[1]);
        s[2] += vec4f(h[2]); s[3] += vec4f(h[3]);
        s[4] += vec4f(h[4]); s[5] += vec4f(h[5]);
        s[6] += vec4f(h[6]); s[7] += vec4f(h[7]);
        s[8] += vec4f(h[8]); s[9] += vec4f(h[9]);
        s[10] += vec4f(h[10]); s[11] += vec4f(h[11]);
        s[12] += vec4f(h[12]); s[13] += vec4f(h[13]);
        s[14] += vec4f(h[14]); s[15] += vec4f(h[15]);
        workgroupBarrier();
    }
    return s;
}

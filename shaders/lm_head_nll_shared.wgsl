// Partial log-sum-exp of h Wᵀ over shares of the vocabulary; see src/kernels/lm_head_nll.rs. For real GPUs: a
// workgroup takes 64 tokens and one share, 64 outputs at a time through workgroup memory (the tiles are those of
// matmul_shared.wgsl); an invocation folds 8 tokens by 8 outputs of each tile and leaves one partial result.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let r = group.y * 64u;
    let begin = group.x * p.share;
    let end = min(begin + p.share, p.outs);
    let tx = local % 8u;
    let ty = local / 8u;
    var t0 = State(LOWEST, 0.0, 0u);
    var t1 = State(LOWEST, 0.0, 0u);
    var t2 = State(LOWEST, 0.0, 0u);
    var t3 = State(LOWEST, 0.0, 0u);
    var t4 = State(LOWEST, 0.0, 0u);
    var t5 = State(LOWEST, 0.0, 0u);
    var t6 = State(LOWEST, 0.0, 0u);
    var t7 = State(LOWEST, 0.0, 0u);
    for (var o = begin; o < end; o += 64u) {
        let s = tile_sums(r, o, local);
        let at = o + tx * 8u;
        t0 = fold(t0, s[0], s[1], at, end);
        t1 = fold(t1, s[2], s[3], at, end);
        t2 = fold(t2, s[4], s[5], at, end);
        t3 = fold(t3, s[6], s[7], at, end);
        t4 = fold(t4, s[8], s[9], at, end);
        t5 = fold(t5, s[10], s[11], at, end);
        t6 = fold(t6, s[12], s[13], at, end);
        t7 = fold(t7, s[14], s[15], at, end);
    }
    let row = r + ty * 8u;
    let partial = group.x * 8u + tx;
    keep(row + 0u, partial, t0);
    keep(row + 1u, partial, t1);
    keep(row + 2u, partial, t2);
    keep(row + 3u, partial, t3);
    keep(row + 4u, partial, t4);
    keep(row + 5u, partial, t5);
    keep(row + 6u, partial, t6);
    keep(row + 7u, partial, t7);
}

// Partial log-sum-exp of h Wᵀ over shares of the vocabulary; see src/kernels/lm_head_nll.rs. For software adapters:
// an invocation takes 8 tokens and one share, 8 outputs at a time (matmul_registers.wgsl).

@compute @workgroup_size(4)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let share = id.x;
    let r = id.y * 8u;
    let begin = share * p.share;
    if begin >= p.outs { return; }
    let end = min(begin + p.share, p.outs);
    var t0 = State(LOWEST, 0.0, 0u);
    var t1 = State(LOWEST, 0.0, 0u);
    var t2 = State(LOWEST, 0.0, 0u);
    var t3 = State(LOWEST, 0.0, 0u);
    var t4 = State(LOWEST, 0.0, 0u);
    var t5 = State(LOWEST, 0.0, 0u);
    var t6 = State(LOWEST, 0.0, 0u);
    var t7 = State(LOWEST, 0.0, 0u);
    for (var o = begin; o < end; o += 8u) {
        let s = register_sums(r, o);
        t0 = fold(t0, s[0], s[1], o, end);
        t1 = fold(t1, s[2], s[3], o, end);
        t2 = fold(t2, s[4], s[5], o, end);
        t3 = fold(t3, s[6], s[7], o, end);
        t4 = fold(t4, s[8], s[9], o, end);
        t5 = fold(t5, s[10], s[11], o, end);
        t6 = fold(t6, s[12], s[13], o, end);
        t7 = fold(t7, s[14], s[15], o, end);
    }
    keep(r + 0u, share, t0);
    keep(r + 1u, share, t1);
    keep(r + 2u, share, t2);
    keep(r + 3u, share, t3);
    keep(r + 4u, share, t4);
    keep(r + 5u, share, t5);
    keep(r + 6u, share, t6);
    keep(r + 7u, share, t7);
}

// Partial log-sum-exp of h Wᵀ over shares of the vocabulary; see src/kernels/lm_head_nll.rs. For software adapters:
// an invocation takes 8 tokens and one share, 8 outputs at a time, in registers; no barriers.

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
        var s0a = vec4f(0.0); var s0b = vec4f(0.0);
        var s1a = vec4f(0.0); var s1b = vec4f(0.0);
        var s2a = vec4f(0.0); var s2b = vec4f(0.0);
        var s3a = vec4f(0.0); var s3b = vec4f(0.0);
        var s4a = vec4f(0.0); var s4b = vec4f(0.0);
        var s5a = vec4f(0.0); var s5b = vec4f(0.0);
        var s6a = vec4f(0.0); var s6b = vec4f(0.0);
        var s7a = vec4f(0.0); var s7b = vec4f(0.0);
        for (var k = 0u; k < p.depth; k += 8u) {
            let w0 = w8(o, k);
            let w1 = w8(o + 1u, k);
            let w2 = w8(o + 2u, k);
            let w3 = w8(o + 3u, k);
            let w4 = w8(o + 4u, k);
            let w5 = w8(o + 5u, k);
            let w6 = w8(o + 6u, k);
            let w7 = w8(o + 7u, k);
            let l0 = x4(r + 0u, k);
            let h0 = x4(r + 0u, k + 4u);
            s0a += dots(l0, w0.low, w1.low, w2.low, w3.low) + dots(h0, w0.high, w1.high, w2.high, w3.high);
            s0b += dots(l0, w4.low, w5.low, w6.low, w7.low) + dots(h0, w4.high, w5.high, w6.high, w7.high);
            let l1 = x4(r + 1u, k);
            let h1 = x4(r + 1u, k + 4u);
            s1a += dots(l1, w0.low, w1.low, w2.low, w3.low) + dots(h1, w0.high, w1.high, w2.high, w3.high);
            s1b += dots(l1, w4.low, w5.low, w6.low, w7.low) + dots(h1, w4.high, w5.high, w6.high, w7.high);
            let l2 = x4(r + 2u, k);
            let h2 = x4(r + 2u, k + 4u);
            s2a += dots(l2, w0.low, w1.low, w2.low, w3.low) + dots(h2, w0.high, w1.high, w2.high, w3.high);
            s2b += dots(l2, w4.low, w5.low, w6.low, w7.low) + dots(h2, w4.high, w5.high, w6.high, w7.high);
            let l3 = x4(r + 3u, k);
            let h3 = x4(r + 3u, k + 4u);
            s3a += dots(l3, w0.low, w1.low, w2.low, w3.low) + dots(h3, w0.high, w1.high, w2.high, w3.high);
            s3b += dots(l3, w4.low, w5.low, w6.low, w7.low) + dots(h3, w4.high, w5.high, w6.high, w7.high);
            let l4 = x4(r + 4u, k);
            let h4 = x4(r + 4u, k + 4u);
            s4a += dots(l4, w0.low, w1.low, w2.low, w3.low) + dots(h4, w0.high, w1.high, w2.high, w3.high);
            s4b += dots(l4, w4.low, w5.low, w6.low, w7.low) + dots(h4, w4.high, w5.high, w6.high, w7.high);
            let l5 = x4(r + 5u, k);
            let h5 = x4(r + 5u, k + 4u);
            s5a += dots(l5, w0.low, w1.low, w2.low, w3.low) + dots(h5, w0.high, w1.high, w2.high, w3.high);
            s5b += dots(l5, w4.low, w5.low, w6.low, w7.low) + dots(h5, w4.high, w5.high, w6.high, w7.high);
            let l6 = x4(r + 6u, k);
            let h6 = x4(r + 6u, k + 4u);
            s6a += dots(l6, w0.low, w1.low, w2.low, w3.low) + dots(h6, w0.high, w1.high, w2.high, w3.high);
            s6b += dots(l6, w4.low, w5.low, w6.low, w7.low) + dots(h6, w4.high, w5.high, w6.high, w7.high);
            let l7 = x4(r + 7u, k);
            let h7 = x4(r + 7u, k + 4u);
            s7a += dots(l7, w0.low, w1.low, w2.low, w3.low) + dots(h7, w0.high, w1.high, w2.high, w3.high);
            s7b += dots(l7, w4.low, w5.low, w6.low, w7.low) + dots(h7, w4.high, w5.high, w6.high, w7.high);
        }
        t0 = fold(t0, s0a, s0b, o, end);
        t1 = fold(t1, s1a, s1b, o, end);
        t2 = fold(t2, s2a, s2b, o, end);
        t3 = fold(t3, s3a, s3b, o, end);
        t4 = fold(t4, s4a, s4b, o, end);
        t5 = fold(t5, s5a, s5b, o, end);
        t6 = fold(t6, s6a, s6b, o, end);
        t7 = fold(t7, s7a, s7b, o, end);
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

// y = x Wᵀ + bias + residual; see src/kernels/matmul.rs. For software adapters: no workgroup memory, no barriers;
// an invocation keeps a tile of 8 rows by 8 outputs in registers. Neighbours share the rows of x.

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let o = id.x * 8u;
    let r = id.y * 8u;
    if o >= p.outs { return; }
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
    put4(r + 0u, o + 0u, s0a);
    put4(r + 0u, o + 4u, s0b);
    put4(r + 1u, o + 0u, s1a);
    put4(r + 1u, o + 4u, s1b);
    put4(r + 2u, o + 0u, s2a);
    put4(r + 2u, o + 4u, s2b);
    put4(r + 3u, o + 0u, s3a);
    put4(r + 3u, o + 4u, s3b);
    put4(r + 4u, o + 0u, s4a);
    put4(r + 4u, o + 4u, s4b);
    put4(r + 5u, o + 0u, s5a);
    put4(r + 5u, o + 4u, s5b);
    put4(r + 6u, o + 0u, s6a);
    put4(r + 6u, o + 4u, s6b);
    put4(r + 7u, o + 0u, s7a);
    put4(r + 7u, o + 4u, s7b);
}

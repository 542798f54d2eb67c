// y = x Wᵀ + bias + residual; see src/kernels/matmul.rs. For software adapters (matmul_registers.wgsl): an invocation
// computes 8 rows by 8 outputs.

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let o = id.x * 8u;
    let r = id.y * 8u;
    if o >= p.outs { return; }
    let s = register_sums(r, o);
    put4(r + 0u, o, s[0]); put4(r + 0u, o + 4u, s[1]);
    put4(r + 1u, o, s[2]); put4(r + 1u, o + 4u, s[3]);
    put4(r + 2u, o, s[4]); put4(r + 2u, o + 4u, s[5]);
    put4(r + 3u, o, s[6]); put4(r + 3u, o + 4u, s[7]);
    put4(r + 4u, o, s[8]); put4(r + 4u, o + 4u, s[9]);
    put4(r + 5u, o, s[10]); put4(r + 5u, o + 4u, s[11]);
    put4(r + 6u, o, s[12]); put4(r + 6u, o + 4u, s[13]);
    put4(r + 7u, o, s[14]); put4(r + 7u, o + 4u, s[15]);
}

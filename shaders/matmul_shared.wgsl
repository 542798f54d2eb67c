// y = x Wᵀ + bias + residual; see src/kernels/matmul.rs. For real GPUs: a workgroup computes 8 DOWN rows
// by 8 ACROSS outputs, 16 inputs at a time through workgroup memory (matmul_tiles.wgsl).

@compute @workgroup_size(DOWN * ACROSS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let o = group.x * 8u * ACROSS;
    let r = group.y * 8u * DOWN;
    let s = tile_sums(r, o, local);
    let row = r + (local / ACROSS) * 8u;
    let out = o + (local % ACROSS) * 8u;
    // Written out: an index that varies would push the sums out of the registers.
    put4(row + 0u, out, s[0]); put4(row + 0u, out + 4u, s[1]);
    put4(row + 1u, out, s[2]); put4(row + 1u, out + 4u, s[3]);
    put4(row + 2u, out, s[4]); put4(row + 2u, out + 4u, s[5]);
    put4(row + 3u, out, s[6]); put4(row + 3u, out + 4u, s[7]);
    put4(row + 4u, out, s[8]); put4(row + 4u, out + 4u, s[9]);
    put4(row + 5u, out, s[10]); put4(row + 5u, out + 4u, s[11]);
    put4(row + 6u, out, s[12]); put4(row + 6u, out + 4u, s[13]);
    put4(row + 7u, out, s[14]); put4(row + 7u, out + 4u, s[15]);
}

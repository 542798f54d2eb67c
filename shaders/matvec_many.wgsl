// Several products of one normed row, side by side or gated; see src/kernels/matvec_many.rs and matvec_row.wgsl.

@group(0) @binding(4) var<storage, read> second: array<vec4u>; // [outs1, w_stride]
@group(0) @binding(5) var<storage, read> third: array<vec4u>;  // [outs - outs0 - outs1, w_stride]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [1, outs]

fn widened(a: vec4u, b: vec4u) -> Eight {
    if F16 {
        return Eight(
            vec4f(unpack2x16float(a.x), unpack2x16float(a.y)),
            vec4f(unpack2x16float(a.z), unpack2x16float(a.w)),
        );
    }
    return Eight(bitcast<vec4f>(a), bitcast<vec4f>(b));
}

// Values at..at + 8 of matrix `which`.
fn eight_of(which: u32, at: u32) -> Eight {
    if which == 0u { return eight(at); }
    let i = select(at >> 2u, at >> 3u, F16);
    if which == 1u { return widened(second[i], second[i + 1u]); }
    return widened(third[i], third[i + 1u]);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let o = output(group, groups, local);
    let s = sums(o, local);
    if local % LANES != 0u || o >= p.outs { return; }
    y[o] = select(s.x, silu(s.x) * s.y, GATED);
}

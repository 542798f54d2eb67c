// The product of one normed row, some of its outputs convolved with those before; see src/kernels/matvec_conv.rs and
// matvec_row.wgsl.

@group(0) @binding(4) var<storage, read> weight: array<f32>;     // [cols, taps]
@group(0) @binding(5) var<storage, read> bias: array<f32>;       // [cols]
@group(0) @binding(6) var<storage, read> state: array<f32>;      // [taps - 1, cols]
@group(0) @binding(7) var<storage, read_write> y: array<f32>;    // [1, outs]
@group(0) @binding(8) var<storage, read_write> next: array<f32>; // [taps - 1, cols]

fn eight_of(which: u32, at: u32) -> Eight { return eight(at); }

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let o = output(group, groups, local);
    let v = sums(o, local).x;
    if local % LANES != 0u || o >= p.outs { return; }
    // Before the first channel this is larger than any.
    let c = o - p.first;
    if c >= p.cols {
        y[o] = v;
        return;
    }
    var sum = 0.0;
    if p.has_bias != 0u { sum = bias[c]; }
    let last = p.taps - 1u;
    for (var j = 0u; j < last; j++) {
        let before = state[j * p.cols + c];
        sum += weight[c * p.taps + j] * before;
        if j > 0u { next[(j - 1u) * p.cols + c] = before; }
    }
    next[(last - 1u) * p.cols + c] = v;
    y[o] = silu(sum + weight[c * p.taps + last] * v);
}

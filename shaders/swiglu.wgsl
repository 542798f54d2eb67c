// y = silu(gate) * up; see src/kernels/swiglu.rs. One element a lane.

struct Params { n: u32, cols: u32, gate_offset: u32, gate_stride: u32, up_offset: u32, up_stride: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;    // [rows, gate_stride], from gate_offset
@group(0) @binding(2) var<storage, read> up: array<f32>;      // [rows, up_stride], from up_offset
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, cols]

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = (group.y * groups.x + group.x) * 256u + local.x;
    if i >= p.n { return; }
    let row = i / p.cols;
    let col = i - row * p.cols;
    let g = gate[p.gate_offset + row * p.gate_stride + col];
    // The exponent is never positive, so that nothing overflows.
    let e = exp(-abs(g));
    let sigmoid = select(1.0, e, g < 0.0) / (1.0 + e);
    y[i] = g * sigmoid * up[p.up_offset + row * p.up_stride + col];
}

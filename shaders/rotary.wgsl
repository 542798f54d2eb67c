// Rotary position embedding; see src/kernels/rotary.rs. One pair of dimensions (or one that passes through) a lane.

struct Params {
    n: u32, seq_width: u32, head_width: u32, headdim: u32, half_rot: u32, x_offset: u32, x_stride: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> positions: array<u32>; // [seq_len]
@group(0) @binding(3) var<storage, read> inv_freq: array<f32>;  // [half_rot]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [seq_len, n_head * headdim]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = (group.y * groups.x + group.x) * 64u + local.x;
    if i >= p.n { return; }
    let t = i / p.seq_width;
    let head = (i - t * p.seq_width) / p.head_width;
    let j = i % p.head_width;
    let from_row = p.x_offset + t * p.x_stride + head * p.headdim;
    let to_row = t * (p.seq_width / p.head_width) * p.headdim + head * p.headdim;
    let other = j + p.half_rot;
    if j >= p.half_rot {
        y[to_row + other] = x[from_row + other];
        return;
    }
    let cs = cos_sin(f32(positions[t]) * inv_freq[j]);
    let u = x[from_row + j];
    let v = x[from_row + other];
    y[to_row + j] = u * cs.x - v * cs.y;
    y[to_row + other] = v * cs.x + u * cs.y;
}

// Turns q and k of rows q | k | v and puts k and v behind those kept; see src/kernels/rotary_append.rs. One pair of
// dimensions (or one that passes through) a lane.

struct Params {
    n: u32, seq_width: u32, head_width: u32, headdim: u32, half_rot: u32, x_offset: u32, x_stride: u32,
    q: u32, kv: u32, n_past: u32, // columns of q, of k or v; rows kept before
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> positions: array<u32>;    // [seq_len]
@group(0) @binding(3) var<storage, read> inv_freq: array<f32>;     // [half_rot]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;      // [seq_len, q]
@group(0) @binding(5) var<storage, read_write> keys: array<f32>;   // [n_past + seq_len, kv]
@group(0) @binding(6) var<storage, read_write> values: array<f32>; // [n_past + seq_len, kv]

fn put(t: u32, col: u32, v: f32) {
    let row = (p.n_past + t) * p.kv;
    if col < p.q {
        y[t * p.q + col] = v;
    } else if col < p.q + p.kv {
        keys[row + col - p.q] = v;
    } else {
        values[row + col - p.q - p.kv] = v;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = (group.y * groups.x + group.x) * 64u + local.x;
    if i >= p.n { return; }
    let t = i / p.seq_width;
    let first = (i - t * p.seq_width) / p.head_width * p.headdim;
    let j = i % p.head_width;
    let from_row = p.x_offset + t * p.x_stride + first;
    let other = j + p.half_rot;
    let v = x[from_row + other];
    if j >= p.half_rot {
        put(t, first + other, v);
        return;
    }
    var cs = vec2f(1.0, 0.0);
    if first < p.q + p.kv { cs = cos_sin(f32(positions[t]) * inv_freq[j]); }
    let u = x[from_row + j];
    put(t, first + j, u * cs.x - v * cs.y);
    put(t, first + other, v * cs.x + u * cs.y);
}

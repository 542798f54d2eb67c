// Rotary position embedding of q and k in rows q | k | v; k and v go behind those kept. See src/kernels/rotary.rs and
// rotary_append.rs. One pair of dimensions (or one that passes through) a lane.

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

// 2^32 / (2 pi): its integer part (a full turn is 2^32) and its fraction.
const TURN = 683565275u;
const TURN_FRACTION = 0.57644;
const TURN_F32 = 683565275.6;
const TO_RADIANS = 1.4629180793e-9; // 2 pi / 2^32

// (cos, sin) of an angle in 0..2^24 to about 1e-7. WGSL promises its own sin and cos to 2^-11, and only in
// [-pi, pi]. The angle is taken apart as bits: no compiler may then merge the product that made it into a fused
// operation, whose unrounded angle the reference does not have. Whole and fractional part become 32-bit turns,
// where wrapping takes the angle modulo 2 pi for nothing.
fn cos_sin(angle: f32) -> vec2f {
    let bits = bitcast<u32>(angle);
    let mantissa = (bits & 0x7fffffu) | 0x800000u;
    let shift = u32(clamp(150 - i32(bits >> 23u), 0, 31));
    let whole = mantissa >> shift;
    var fraction = angle;
    if whole > 0u {
        fraction = f32(mantissa - (whole << shift)) * bitcast<f32>((127u - shift) << 23u);
    }
    let turns = whole * TURN + u32(f32(whole) * TURN_FRACTION) + u32(fraction * TURN_F32);
    // The nearest quarter turn, and the rest within [-pi/4, pi/4].
    let quarter = (turns + 0x20000000u) >> 30u;
    let r = f32(bitcast<i32>(turns - (quarter << 30u))) * TO_RADIANS;
    // Minimax polynomials (Cephes sinf, cosf): |error| < 6e-8.
    let z = r * r;
    let s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
    let c = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
    switch quarter & 3u {
        case 0u: { return vec2f(c, s); }
        case 1u: { return vec2f(-s, c); }
        case 2u: { return vec2f(-c, -s); }
        default: { return vec2f(s, -c); }
    }
}

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

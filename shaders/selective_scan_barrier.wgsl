// The selective scan as it is often ported: a workgroup a channel, a lane a state, and for every token a tree
// reduction with a barrier a level. Kept only to measure against selective_scan.wgsl; same bindings.

struct Params {
    seq_len: u32, d_inner: u32, d_state: u32, quads: u32,
    u_offset: u32, u_stride: u32, dt_offset: u32, dt_stride: u32,
    z_offset: u32, z_stride: u32, has_gate: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;               // [seq_len, u_stride], from u_offset
@group(0) @binding(2) var<storage, read> dt: array<f32>;              // [seq_len, dt_stride], from dt_offset
@group(0) @binding(3) var<storage, read> z: array<f32>;               // [seq_len, z_stride], from z_offset
@group(0) @binding(4) var<storage, read> d: array<f32>;               // [d_inner]
@group(0) @binding(5) var<storage, read> quads_of: array<f32>;          // see selective_scan_pack.wgsl, as f32
@group(0) @binding(6) var<storage, read_write> y: array<f32>;         // [seq_len, d_inner]
@group(0) @binding(7) var<storage, read_write> new_state: array<f32>; // [d_inner, d_state]

override LANES = 16u; // d_state rounded up to a power of two, at most 256
var<workgroup> partial: array<f32, 256>;

fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = e / (2.0 + e);
    let w = s * s;
    let series = 1.0 + w * (0.33333158 + w * (0.20012455 + w * (0.13980301 + w * 0.14089168)));
    return max(x, 0.0) + 2.0 * s * series;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = group.x;
    let inside = lane < p.d_state;
    let plane = (lane / 4u) * p.d_inner * 4u + c * 4u + lane % 4u;
    let states = p.quads * p.d_inner * 4u;
    var a = 0.0;
    var h = 0.0;
    if inside {
        a = quads_of[plane];
        h = quads_of[states + plane];
    }
    for (var t = 0u; t < p.seq_len; t++) {
        let delta = softplus(dt[p.dt_offset + t * p.dt_stride + c]);
        let x = u[p.u_offset + t * p.u_stride + c];
        let row = 2u * states + t * 8u * p.quads + lane;
        if inside {
            h = exp2(delta * a) * h + delta * x * quads_of[row];
            partial[lane] = h * quads_of[row + 4u * p.quads];
        } else {
            partial[lane] = 0.0;
        }
        workgroupBarrier();
        for (var width = LANES / 2u; width > 0u; width /= 2u) {
            if lane < width { partial[lane] += partial[lane + width]; }
            workgroupBarrier();
        }
        if lane == 0u {
            var out = partial[0] + d[c] * x;
            if p.has_gate != 0u {
                let gate = z[p.z_offset + t * p.z_stride + c];
                out *= gate / (1.0 + exp(min(-gate, 80.0)));
            }
            y[t * p.d_inner + c] = out;
        }
        workgroupBarrier();
    }
    if inside { new_state[c * p.d_state + lane] = h; }
}

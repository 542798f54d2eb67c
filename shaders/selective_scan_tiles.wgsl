// The scan of Mamba-1 for real GPUs and at most 16 states; see src/kernels/selective_scan.rs.
// A lane owns 4 states of a channel, 4 neighbours a channel, 16 channels a workgroup. 16 tokens at a time: everybody
// loads what the tile needs, walks its tokens without waiting, and then adds up what the neighbours found.

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
@group(0) @binding(5) var<storage, read> quads_of: array<vec4f>;      // see selective_scan_pack.wgsl; 4 quads
@group(0) @binding(6) var<storage, read_write> y: array<f32>;         // [seq_len, d_inner]
@group(0) @binding(7) var<storage, read_write> new_state: array<f32>; // [d_inner, d_state]

const TOKENS = 16u;
const CHANNELS = 16u;
const QUADS = 4u;
var<workgroup> deltas: array<f32, 256>;  // [TOKENS, CHANNELS]
var<workgroup> drives: array<f32, 256>;  // [TOKENS, CHANNELS], delta u
var<workgroup> b_tile: array<vec4f, 64>; // [TOKENS, QUADS]
var<workgroup> c_tile: array<vec4f, 64>; // [TOKENS, QUADS]
var<workgroup> parts: array<f32, 1024>;  // [TOKENS, CHANNELS, QUADS]

// log(1 + e^x), precise relative to the result also where it is small: 2 atanh(e / (2 + e)).
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = e / (2.0 + e);
    let w = s * s;
    let series = 1.0 + w * (0.33333158 + w * (0.20012455 + w * (0.13980301 + w * 0.14089168)));
    return max(x, 0.0) + 2.0 * s * series;
}

// What the tokens from `first` need; tokens and channels that are not there get a delta of 0, which changes nothing.
fn bring(first: u32, channel: u32, local: u32) {
    for (var i = 0u; i < 4u; i++) {
        let e = i * 64u + local;
        let t = first + e / CHANNELS;
        let c = channel + e % CHANNELS;
        var delta = 0.0;
        var drive = 0.0;
        if t < p.seq_len && c < p.d_inner {
            delta = softplus(dt[p.dt_offset + t * p.dt_stride + c]);
            drive = delta * u[p.u_offset + t * p.u_stride + c];
        }
        deltas[e] = delta;
        drives[e] = drive;
    }
    let t = min(first + local / QUADS, p.seq_len - 1u);
    let at = 2u * QUADS * (p.d_inner + t) + local % QUADS;
    b_tile[local] = quads_of[at];
    c_tile[local] = quads_of[at + QUADS];
}

// Adds up the tile that starts at `first` and writes it.
fn finish(first: u32, channel: u32, local: u32) {
    for (var i = 0u; i < 4u; i++) {
        let e = i * 64u + local;
        let t = first + e / CHANNELS;
        let c = channel + e % CHANNELS;
        if t < p.seq_len && c < p.d_inner {
            let at = e * QUADS;
            var out = parts[at] + parts[at + 1u] + parts[at + 2u] + parts[at + 3u];
            out += d[c] * u[p.u_offset + t * p.u_stride + c];
            if p.has_gate != 0u {
                let gate = z[p.z_offset + t * p.z_stride + c];
                out *= gate / (1.0 + exp(min(-gate, 80.0)));
            }
            y[t * p.d_inner + c] = out;
        }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let channel = group.x * CHANNELS;
    let quad = local % QUADS;
    let own = local / QUADS;
    let c = min(channel + own, p.d_inner - 1u);
    let a = quads_of[quad * p.d_inner + c];
    var h = quads_of[(QUADS + quad) * p.d_inner + c];
    for (var first = 0u; first < p.seq_len; first += TOKENS) {
        bring(first, channel, local);
        workgroupBarrier();
        for (var t = 0u; t < TOKENS; t++) {
            let e = t * CHANNELS + own;
            h = exp2(deltas[e] * a) * h + drives[e] * b_tile[t * QUADS + quad];
            parts[e * QUADS + quad] = dot(h, c_tile[t * QUADS + quad]);
        }
        // The next tile is brought while others still add up: it touches other memory.
        workgroupBarrier();
        finish(first, channel, local);
    }
    if channel + own >= p.d_inner { return; }
    for (var k = 0u; k < 4u; k++) {
        let n = 4u * quad + k;
        if n < p.d_state { new_state[c * p.d_state + n] = h[k]; }
    }
}

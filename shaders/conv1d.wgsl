// y[t, c] = silu(bias[c] + sum_j weight[c, j] * x[t - (k-1) + j, c]); rows before the chunk stand in `state`.
// See src/kernels/conv1d.rs. A lane owns a channel (coalesced) and TOKENS tokens; the lanes of the rows past the
// last token write the new state.
// min: WGSL promises nothing about an exp that overflows.

struct Params { rows: u32, cols: u32, taps: u32, x_offset: u32, x_stride: u32, has_bias: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;               // [rows, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> weight: array<f32>;          // [cols, taps]
@group(0) @binding(3) var<storage, read> bias: array<f32>;            // [cols]
@group(0) @binding(4) var<storage, read> state: array<f32>;           // [taps - 1, cols]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;         // [rows, cols]
@group(0) @binding(6) var<storage, read_write> new_state: array<f32>; // [taps - 1, cols]

const TOKENS = 4u;

// Row i of the state followed by the chunk.
fn input(i: u32, c: u32) -> f32 {
    let past = p.taps - 1u;
    if i < past { return state[i * p.cols + c]; }
    return x[p.x_offset + (i - past) * p.x_stride + c];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let c = id.x;
    if c >= p.cols { return; }
    let first = id.y * TOKENS;
    let end = p.rows + p.taps - 1u;
    var sums = vec4f();
    if p.has_bias != 0u { sums += bias[c]; }
    // Four neighbouring inputs, one for each token, slide over the taps: each input is read once.
    var inputs = vec4f(0.0, input(min(first, end - 1u), c), input(min(first + 1u, end - 1u), c),
        input(min(first + 2u, end - 1u), c));
    for (var j = 0u; j < p.taps; j++) {
        inputs = vec4f(inputs.yzw, input(min(first + j + 3u, end - 1u), c));
        sums += weight[c * p.taps + j] * inputs;
    }
    let out = sums / (1.0 + exp(min(-sums, vec4f(80.0))));
    for (var k = 0u; k < TOKENS; k++) {
        let t = first + k;
        if t < p.rows { y[t * p.cols + c] = out[k]; }
        else if t < end { new_state[(t - p.rows) * p.cols + c] = input(t, c); }
    }
}

// out[j] = (x[into, j] + the `count` largest x[source, j]) / (1 + count); see src/kernels/token_top.rs.
// One invocation a column; largest by counting, so that ties have one order.

struct Params { sources: u32, count: u32, into: u32, cols: u32, x_offset: u32, x_stride: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> source: array<u32>;    // [sources]
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [cols]

fn value(e: u32, j: u32) -> f32 {
    return x[p.x_offset + source[e] * p.x_stride + j];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let j = id.x;
    if j >= p.cols { return; }
    var sum = x[p.x_offset + p.into * p.x_stride + j];
    for (var e = 0u; e < p.sources; e++) {
        let mine = value(e, j);
        var larger = 0u;
        for (var d = 0u; d < p.sources; d++) {
            let other = value(d, j);
            larger += u32(other > mine || (other == mine && d < e));
        }
        if larger < p.count { sum += mine; }
    }
    out[j] = sum / f32(1u + p.count);
}

// out[k] = mean of x[keep[k]] and the rows merged into it; see src/kernels/token_merge.rs.
// Neighbouring invocations take neighbouring columns; all of a row walk the same list.

struct Params { kept: u32, cols: u32, x_offset: u32, x_stride: u32, merged: u32 }

const MAX_GROUPS = 65535u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> keep: array<u32>;      // [kept]
@group(0) @binding(3) var<storage, read> source: array<u32>;    // [edges]
@group(0) @binding(4) var<storage, read> head: array<u32>;      // [kept]
@group(0) @binding(5) var<storage, read> next: array<u32>;      // [edges]
@group(0) @binding(6) var<storage, read_write> out: array<f32>; // [kept, cols]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let j = id.x;
    if j >= p.cols { return; }
    for (var k = id.y; k < p.kept; k += MAX_GROUPS) {
        var sum = x[p.x_offset + keep[k] * p.x_stride + j];
        var count = 1.0;
        if p.merged > 0u {
            for (var e = head[k]; e < p.merged; e = next[e]) {
                sum += x[p.x_offset + source[e] * p.x_stride + j];
                count += 1.0;
            }
        }
        if count > 1.0 { sum /= count; }
        out[k * p.cols + j] = sum;
    }
}

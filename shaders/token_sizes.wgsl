// How many tokens a kept row stands for, and the logarithm; see src/kernels/token_sizes.rs. One kept row a lane.

struct Params { kept: u32, merged: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> sizes: array<f32>;           // [seq_len]
@group(0) @binding(2) var<storage, read> keep: array<u32>;            // [kept]
@group(0) @binding(3) var<storage, read> source: array<u32>;          // [edges]
@group(0) @binding(4) var<storage, read> head: array<u32>;            // [kept]
@group(0) @binding(5) var<storage, read> next: array<u32>;            // [edges]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;       // [kept]
@group(0) @binding(7) var<storage, read_write> log_sizes: array<f32>; // [kept]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let k = id.x;
    if k >= p.kept { return; }
    var size = sizes[keep[k]];
    if p.merged > 0u {
        for (var e = head[k]; e < p.merged; e = next[e]) { size += sizes[source[e]]; }
    }
    out[k] = size;
    log_sizes[k] = log(size);
}

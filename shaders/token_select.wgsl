// The `count` most similar edges, most similar first; see src/kernels/token_select.rs. One invocation an edge.

struct Params { edges: u32, count: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> similarity: array<u32>;    // [edges], the bits of f32
@group(0) @binding(2) var<storage, read> source: array<u32>;        // [edges]
@group(0) @binding(3) var<storage, read> target_row: array<u32>;    // [edges]
@group(0) @binding(4) var<storage, read_write> sources: array<u32>; // [count]
@group(0) @binding(5) var<storage, read_write> targets: array<u32>; // [count]

const SIGN = 0x80000000u;

// An integer that sorts like the float; -0 like 0.
fn sort_key(value: u32) -> u32 {
    if value == SIGN { return SIGN; }
    return select(value | SIGN, ~value, (value & SIGN) != 0u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let e = id.x;
    if e >= p.edges { return; }
    let mine = sort_key(similarity[e]);
    let row = source[e];
    var rank = 0u;
    for (var d = 0u; d < p.edges; d++) {
        let other = sort_key(similarity[d]);
        rank += u32(other > mine || (other == mine && source[d] < row));
    }
    if rank < p.count {
        sources[rank] = row;
        targets[rank] = target_row[e];
    }
}

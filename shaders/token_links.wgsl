// Lists of edges by target; see src/kernels/token_links.rs. Invocation i finds head[i] and next[i].

struct Params { kept: u32, edges: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> keep: array<u32>;       // [kept]
@group(0) @binding(2) var<storage, read> target_row: array<u32>; // [edges]
@group(0) @binding(3) var<storage, read_write> head: array<u32>; // [kept]
@group(0) @binding(4) var<storage, read_write> next: array<u32>; // [edges]

// The first edge into `row` from edge `start` on.
fn find(row: u32, start: u32) -> u32 {
    for (var e = start; e < p.edges; e++) {
        if target_row[e] == row { return e; }
    }
    return p.edges;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if i < p.kept { head[i] = find(keep[i], 0u); }
    if i < p.edges { next[i] = find(target_row[i], i + 1u); }
}

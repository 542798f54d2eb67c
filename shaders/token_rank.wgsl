// order[#{j : (v_j, j) < (v_i, i)}] = i; see src/kernels/token_rank.rs. One invocation a row, no barrier.

struct Params { first: u32, n: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<u32>;      // the bits of f32; rows first..first + n are ranked
@group(0) @binding(2) var<storage, read_write> order: array<u32>; // [n]

const SIGN = 0x80000000u;

// An integer that sorts like the float; -0 like 0.
fn sort_key(value: u32) -> u32 {
    if value == SIGN { return SIGN; }
    return select(value | SIGN, ~value, (value & SIGN) != 0u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if i >= p.n { return; }
    let mine = sort_key(values[p.first + i]);
    var rank = 0u;
    for (var j = 0u; j < p.n; j++) {
        let other = sort_key(values[p.first + j]);
        rank += u32(other < mine || (other == mine && j < i));
    }
    order[rank] = p.first + i;
}

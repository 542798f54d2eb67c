// keep[i - #{r in removed : r < i}] = i for every i not in removed; see src/kernels/token_keep.rs.

struct Params { rows: u32, removed: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> removed: array<u32>;    // [removed], distinct
@group(0) @binding(2) var<storage, read_write> keep: array<u32>; // [rows - removed]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let row = id.x;
    if row >= p.rows { return; }
    var before = 0u;
    var gone = false;
    for (var i = 0u; i < p.removed; i++) {
        before += u32(removed[i] < row);
        gone = gone || removed[i] == row;
    }
    if !gone { keep[row - before] = row; }
}

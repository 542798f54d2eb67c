// The best over all eights of B; see src/kernels/token_match.rs. One invocation a row of A.

struct Params {
    n_a: u32, n_b: u32, cols: u32, x_offset: u32, x_stride: u32, slots_a: u32, slots: u32, eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> best_value: array<f32>;       // [ceil(n_b / 8), n_a]
@group(0) @binding(2) var<storage, read> best_row: array<u32>;         // [ceil(n_b / 8), n_a]
@group(0) @binding(3) var<storage, read> rows: array<u32>;             // [n_a + n_b]
@group(0) @binding(4) var<storage, read_write> similarity: array<f32>; // [n_a]
@group(0) @binding(5) var<storage, read_write> matched: array<u32>;    // [n_a]

const NONE = 0xffffffffu;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let a = id.x;
    if a >= p.n_a { return; }
    var value = -2.0;
    var row = NONE;
    for (var s = 0u; 8u * s < p.n_b; s++) {
        let v = best_value[s * p.n_a + a];
        let r = best_row[s * p.n_a + a];
        if v > value || (v == value && r < row) {
            value = v;
            row = r;
        }
    }
    // Only NaN matches nothing; then the first row of B stands in.
    if row == NONE { row = rows[p.n_a]; }
    similarity[a] = value;
    matched[a] = row;
}

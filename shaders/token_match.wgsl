// Largest cosine of every row of A over a segment of B; see src/kernels/token_match.rs.
// A workgroup of 8x8 compares 32 rows of A with 4 tiles of 32 rows of B; an invocation holds 4x4 products. Lanes read
// neighbouring rows of the packed array, so no workgroup memory is needed until the one barrier at the end.

struct Params {
    n_a: u32, n_b: u32, cols: u32, x_offset: u32, x_stride: u32, segments: u32, eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> packed: array<vec4f>;         // [ceil(cols / 4), n_a + n_b], unit rows
@group(0) @binding(2) var<storage, read> rows: array<u32>;             // [n_a + n_b]
@group(0) @binding(3) var<storage, read_write> best_value: array<f32>; // [segments, n_a]
@group(0) @binding(4) var<storage, read_write> best_row: array<u32>;   // [segments, n_a]

const TILE = 32u;
const TILES = 4u;
const NONE = 0xffffffffu;

struct Best { value: f32, row: u32 }

var<workgroup> values: array<f32, 256>; // [32 rows of A, 8 lanes]
var<workgroup> matched: array<u32, 256>;

fn better(a: Best, b: Best) -> Best {
    if b.value > a.value || (b.value == a.value && b.row < a.row) { return b; }
    return a;
}

// The best of four products with the rows b, b + 8, b + 16, b + 24 of B.
fn best_of(best: Best, products: vec4f, b: u32) -> Best {
    var now = best;
    if b < p.n_b { now = better(now, Best(products.x, rows[p.n_a + b])); }
    if b + 8u < p.n_b { now = better(now, Best(products.y, rows[p.n_a + b + 8u])); }
    if b + 16u < p.n_b { now = better(now, Best(products.z, rows[p.n_a + b + 16u])); }
    if b + 24u < p.n_b { now = better(now, Best(products.w, rows[p.n_a + b + 24u])); }
    return now;
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let n = p.n_a + p.n_b;
    let chunks = (p.cols + 3u) / 4u;
    let a = min(vec4u(group.x * TILE + local.y) + vec4u(0u, 8u, 16u, 24u), vec4u(p.n_a - 1u));
    // A cosine is above -2.
    var best0 = Best(-2.0, NONE);
    var best1 = best0;
    var best2 = best0;
    var best3 = best0;
    for (var tile = 0u; tile < TILES; tile++) {
        let first = (group.y * TILES + tile) * TILE + local.x;
        let b = p.n_a + min(vec4u(first) + vec4u(0u, 8u, 16u, 24u), vec4u(p.n_b - 1u));
        var sum0 = vec4f();
        var sum1 = vec4f();
        var sum2 = vec4f();
        var sum3 = vec4f();
        for (var c = 0u; c < chunks; c++) {
            let at = c * n;
            let b0 = packed[at + b.x];
            let b1 = packed[at + b.y];
            let b2 = packed[at + b.z];
            let b3 = packed[at + b.w];
            let a0 = packed[at + a.x];
            let a1 = packed[at + a.y];
            let a2 = packed[at + a.z];
            let a3 = packed[at + a.w];
            sum0 += vec4f(dot(a0, b0), dot(a0, b1), dot(a0, b2), dot(a0, b3));
            sum1 += vec4f(dot(a1, b0), dot(a1, b1), dot(a1, b2), dot(a1, b3));
            sum2 += vec4f(dot(a2, b0), dot(a2, b1), dot(a2, b2), dot(a2, b3));
            sum3 += vec4f(dot(a3, b0), dot(a3, b1), dot(a3, b2), dot(a3, b3));
        }
        best0 = best_of(best0, sum0, first);
        best1 = best_of(best1, sum1, first);
        best2 = best_of(best2, sum2, first);
        best3 = best_of(best3, sum3, first);
    }
    let slot = local.y * 8u + local.x;
    values[slot] = best0.value;
    values[slot + 64u] = best1.value;
    values[slot + 128u] = best2.value;
    values[slot + 192u] = best3.value;
    matched[slot] = best0.row;
    matched[slot + 64u] = best1.row;
    matched[slot + 128u] = best2.row;
    matched[slot + 192u] = best3.row;
    workgroupBarrier();
    let row = group.x * TILE + slot;
    if slot >= TILE || row >= p.n_a { return; }
    var best = Best(-2.0, NONE);
    for (var i = 0u; i < 8u; i++) {
        best = better(best, Best(values[slot * 8u + i], matched[slot * 8u + i]));
    }
    best_value[group.y * p.n_a + row] = best.value;
    best_row[group.y * p.n_a + row] = best.row;
}

// Largest cosine of every row of A over each eight rows of B; see src/kernels/token_match.rs.
// A workgroup of 8x8 compares 64 rows of A with 64 of B, an invocation 8 with 8, from two vectors each of the packed
// rows. Neighbours read neighbouring vectors, so registers are enough and there is no barrier.

struct Params {
    n_a: u32, n_b: u32, cols: u32, x_offset: u32, x_stride: u32, slots_a: u32, slots: u32, eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> packed: array<vec4f>;         // [cols, slots], unit rows
@group(0) @binding(2) var<storage, read> rows: array<u32>;             // [n_a + n_b]
@group(0) @binding(3) var<storage, read_write> best_value: array<f32>; // [ceil(n_b / 8), n_a]
@group(0) @binding(4) var<storage, read_write> best_row: array<u32>;   // [ceil(n_b / 8), n_a]

const NONE = 0xffffffffu;

struct Best { value: f32, row: u32 }

fn better(best: Best, value: f32, row: u32) -> Best {
    let is_better = value > best.value || (value == best.value && row < best.row);
    return Best(select(best.value, value, is_better), select(best.row, row, is_better));
}

// Whole steps of 2^-16, halves upwards, so that equal rows are ties on every device.
fn stepped(cosines: vec4f) -> vec4f {
    return floor(cosines * 65536.0 + 0.5) * 0.0000152587890625;
}

// The rows of x that are the rows `b` of B, and NONE past its end.
fn rows_of(b: vec4u) -> vec4u {
    let at = p.n_a + min(b, vec4u(p.n_b - 1u));
    let found = vec4u(rows[at.x], rows[at.y], rows[at.z], rows[at.w]);
    return select(vec4u(NONE), found, b < vec4u(p.n_b));
}

// Writes the best of row `a` of A and its products with eight rows of B.
fn put(a: u32, products_low: vec4f, products_high: vec4f, low: vec4u, high: vec4u, at: u32) {
    if a >= p.n_a { return; }
    // A cosine is above -2.
    let v = select(stepped(products_low), vec4f(-2.0), low == vec4u(NONE));
    let w = select(stepped(products_high), vec4f(-2.0), high == vec4u(NONE));
    var best = better(Best(-2.0, NONE), v.x, low.x);
    best = better(best, v.y, low.y);
    best = better(best, v.z, low.z);
    best = better(best, v.w, low.w);
    best = better(best, w.x, high.x);
    best = better(best, w.y, high.y);
    best = better(best, w.z, high.z);
    best = better(best, w.w, high.w);
    best_value[at + a] = best.value;
    best_row[at + a] = best.row;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let first_a = id.y * 8u;
    let first_b = id.x * 8u;
    if first_a >= p.n_a || first_b >= p.n_b { return; }
    let a = id.y * 2u;
    let b = p.slots_a + id.x * 2u;
    var s: array<vec4f, 16>;
    for (var at = 0u; at < p.cols * p.slots; at += p.slots) {
        let c = packed[at + a];
        let d = packed[at + a + 1u];
        let v = packed[at + b];
        let w = packed[at + b + 1u];
        s[0] += c.x * v; s[1] += c.x * w;
        s[2] += c.y * v; s[3] += c.y * w;
        s[4] += c.z * v; s[5] += c.z * w;
        s[6] += c.w * v; s[7] += c.w * w;
        s[8] += d.x * v; s[9] += d.x * w;
        s[10] += d.y * v; s[11] += d.y * w;
        s[12] += d.z * v; s[13] += d.z * w;
        s[14] += d.w * v; s[15] += d.w * w;
    }
    let low = rows_of(first_b + vec4u(0u, 1u, 2u, 3u));
    let high = rows_of(first_b + vec4u(4u, 5u, 6u, 7u));
    let at = id.x * p.n_a;
    put(first_a + 0u, s[0], s[1], low, high, at);
    put(first_a + 1u, s[2], s[3], low, high, at);
    put(first_a + 2u, s[4], s[5], low, high, at);
    put(first_a + 3u, s[6], s[7], low, high, at);
    put(first_a + 4u, s[8], s[9], low, high, at);
    put(first_a + 5u, s[10], s[11], low, high, at);
    put(first_a + 6u, s[12], s[13], low, high, at);
    put(first_a + 7u, s[14], s[15], low, high, at);
}

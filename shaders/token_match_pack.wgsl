// Unit rows, gathered, four to a vector, columns outermost; see src/kernels/token_match.rs.
// packed[j, i] = column j of the four rows of slot i, each divided by max(|row|, eps). The slots of A come first; where
// a set ends inside a slot the rest is zero. 16 lanes share a slot, 4 slots a workgroup.

struct Params {
    n_a: u32, n_b: u32, cols: u32, x_offset: u32, x_stride: u32, slots_a: u32, slots: u32, eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;              // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> rows: array<u32>;           // [n_a + n_b]
@group(0) @binding(3) var<storage, read_write> packed: array<vec4f>; // [cols, slots]

const LANES = 16u;
var<workgroup> partial: array<vec4f, 64>;

struct Slot { start: vec4u, there: vec4<bool> }

// Where the rows of a slot start in x, and which of them there are.
fn slot(i: u32) -> Slot {
    let in_a = i < p.slots_a;
    let first = select(i - p.slots_a, i, in_a) * 4u;
    let item = vec4u(first, first + 1u, first + 2u, first + 3u);
    let there = (item < vec4u(select(p.n_b, p.n_a, in_a))) & vec4<bool>(i < p.slots);
    let at = select(vec4u(0u), item + select(p.n_a, 0u, in_a), there);
    let row = vec4u(rows[at.x], rows[at.y], rows[at.z], rows[at.w]);
    return Slot(p.x_offset + row * p.x_stride, there);
}

fn column(s: Slot, j: u32) -> vec4f {
    return vec4f(x[s.start.x + j], x[s.start.y + j], x[s.start.z + j], x[s.start.w + j]);
}

@compute @workgroup_size(16, 4)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = group.x * 4u + local.y;
    let s = slot(i);
    var sum = vec4f();
    for (var j = local.x; j < p.cols; j += LANES) {
        let v = column(s, j);
        sum += v * v;
    }
    partial[local.y * LANES + local.x] = sum;
    workgroupBarrier();
    if i >= p.slots { return; }
    var total = vec4f();
    for (var lane = 0u; lane < LANES; lane++) { total += partial[local.y * LANES + lane]; }
    let scale = select(vec4f(), 1.0 / max(sqrt(total), vec4f(p.eps)), s.there);
    for (var j = local.x; j < p.cols; j += LANES) {
        packed[j * p.slots + i] = column(s, j) * scale;
    }
}

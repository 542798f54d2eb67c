// Unit rows, gathered and packed four columns at a time; see src/kernels/token_match.rs.
// packed[c, i] = columns 4c .. 4c + 3 of x[rows[i]] / max(|x[rows[i]]|, eps). 16 lanes share a row, 4 rows a workgroup.

struct Params {
    n_a: u32, n_b: u32, cols: u32, x_offset: u32, x_stride: u32, segments: u32, eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;              // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> rows: array<u32>;           // [n_a + n_b]
@group(0) @binding(3) var<storage, read_write> packed: array<vec4f>; // [ceil(cols / 4), n_a + n_b]

const LANES = 16u;
var<workgroup> partial: array<f32, 64>;

fn value(start: u32, j: u32) -> f32 {
    if j >= p.cols { return 0.0; }
    return x[start + j];
}

@compute @workgroup_size(16, 4)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let n = p.n_a + p.n_b;
    let i = group.x * 4u + local.y;
    let start = p.x_offset + rows[min(i, n - 1u)] * p.x_stride;
    var sum = 0.0;
    for (var j = local.x; j < p.cols; j += LANES) {
        let v = x[start + j];
        sum += v * v;
    }
    partial[local.y * LANES + local.x] = sum;
    workgroupBarrier();
    if i >= n { return; }
    var total = 0.0;
    for (var lane = 0u; lane < LANES; lane++) { total += partial[local.y * LANES + lane]; }
    let scale = 1.0 / max(sqrt(total), p.eps);
    for (var c = local.x; 4u * c < p.cols; c += LANES) {
        let j = 4u * c;
        let v = vec4f(value(start, j), value(start, j + 1u), value(start, j + 2u), value(start, j + 3u));
        packed[c * n + i] = v * scale;
    }
}

// Cosine of given pairs of rows; see src/kernels/token_pairs.rs. 16 lanes share a pair, 4 pairs a workgroup.

struct Params { pairs: u32, cols: u32, x_offset: u32, x_stride: u32, eps: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [seq_len, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> left: array<u32>;          // [pairs]
@group(0) @binding(3) var<storage, read> right: array<u32>;         // [pairs]
@group(0) @binding(4) var<storage, read_write> cosines: array<f32>; // [pairs]

const LANES = 16u;
var<workgroup> partial: array<vec4f, 64>;

@compute @workgroup_size(16, 4)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let pair = group.x * 4u + local.y;
    var sums = vec4f();
    if pair < p.pairs {
        let a = p.x_offset + left[pair] * p.x_stride;
        let b = p.x_offset + right[pair] * p.x_stride;
        for (var j = local.x; j < p.cols; j += LANES) {
            let u = x[a + j];
            let v = x[b + j];
            sums += vec4f(u * v, u * u, v * v, 0.0);
        }
    }
    partial[local.y * LANES + local.x] = sums;
    workgroupBarrier();
    if pair >= p.pairs || local.x != 0u { return; }
    var total = vec4f();
    for (var i = 0u; i < LANES; i++) { total += partial[local.y * LANES + i]; }
    let lengths = max(sqrt(total.yz), vec2f(p.eps));
    // Whole steps of 2^-16, halves upwards, as in token_match.wgsl.
    cosines[pair] = floor(total.x / (lengths.x * lengths.y) * 65536.0 + 0.5) * 0.0000152587890625;
}

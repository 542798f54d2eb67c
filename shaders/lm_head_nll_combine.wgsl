// Column 0: log-sum-exp of all partial results of a token minus its target's logit; column 1: whether the target is
// the argmax (of equal logits the smallest index); see src/kernels/lm_head_nll.rs.
// 16 lanes share a token, 4 tokens a workgroup; one barrier.

struct Params {
    rows: u32, outs: u32, depth: u32,
    x_offset: u32, x_stride: u32, w_stride: u32,
    share: u32,
    partials: u32, // partial results of one row
}

@group(0) @binding(0) var<uniform> p: Params;
// bindings 1 to 3: table [vocab, w_stride] (matmul_weights.wgsl) and h (matmul_input.wgsl)
@group(0) @binding(4) var<storage, read> targets: array<u32>;    // [rows]
@group(0) @binding(5) var<storage, read> partials: array<vec4u>; // [rows, partials]: max, sum, argmax
@group(0) @binding(6) var<storage, read_write> y: array<f32>;    // [rows, 2]

const LANES = 16u;
const LOWEST = -3.4e38;

struct Part { top: f32, sum: f32, best: u32, dot: f32 }
var<workgroup> parts: array<Part, 64>;

fn merge(a: Part, b: Part) -> Part {
    let top = max(a.top, b.top);
    let sum = a.sum * exp(a.top - top) + b.sum * exp(b.top - top);
    var best = select(a.best, b.best, b.top > a.top);
    if a.top == b.top { best = min(a.best, b.best); }
    return Part(top, sum, best, a.dot + b.dot);
}

@compute @workgroup_size(16, 4)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let row = group.x * 4u + local.y;
    let slot = local.y * LANES + local.x;
    var part = Part(LOWEST, 0.0, 0xffffffffu, 0.0);
    var goal = 0u;
    if row < p.rows {
        goal = min(targets[row], p.outs - 1u);
        for (var k = local.x * 8u; k < p.depth; k += LANES * 8u) {
            let w = eight(w_row(goal) + k);
            part.dot += dot(x4(x_row(row), k), w.low) + dot(x4(x_row(row), k + 4u), w.high);
        }
        for (var i = local.x; i < p.partials; i += LANES) {
            let v = partials[row * p.partials + i];
            part = merge(part, Part(bitcast<f32>(v.x), bitcast<f32>(v.y), v.z, 0.0));
        }
    }
    parts[slot] = part;
    workgroupBarrier();
    if row >= p.rows || local.x != 0u { return; }
    for (var i = 1u; i < LANES; i++) { part = merge(part, parts[slot + i]); }
    y[row * 2u] = part.top + log(part.sum) - part.dot;
    y[row * 2u + 1u] = select(0.0, 1.0, part.best == goal);
}

// Parameters, state and partial results of the fused head: see src/kernels/lm_head_nll.rs. This text stands before
// its two forms.

struct Params {
    rows: u32, outs: u32, depth: u32,
    x_offset: u32, x_stride: u32, w_stride: u32,
    share: u32,    // outputs of one share of the vocabulary
    partials: u32, // partial results of one row
}

@group(0) @binding(0) var<uniform> p: Params;
// bindings 1 to 3: table [vocab, w_stride] (matmul_weights.wgsl) and h (matmul_input.wgsl)
@group(0) @binding(4) var<storage, read_write> partials: array<vec4u>; // [rows, partials]: max, sum, argmax

const LOWEST = -3.4e38;

// Over the outputs seen so far: the largest logit, the sum of exp(logit - max), the first index of the largest.
struct State { top: f32, sum: f32, best: u32 }

// Takes in the logits of the outputs o..o + 8, of which those before `end` are there.
fn fold(s: State, low: vec4f, high: vec4f, o: u32, end: u32) -> State {
    let at = vec4u(o, o + 1u, o + 2u, o + 3u);
    let a = select(vec4f(LOWEST), low, at < vec4u(end));
    let b = select(vec4f(LOWEST), high, at + 4u < vec4u(end));
    let pair = max(a, b);
    let top = max(max(pair.x, pair.y), max(pair.z, pair.w));
    var next = s;
    if top > s.top {
        next.sum *= exp(s.top - top);
        next.top = top;
        let none = vec4u(0xffffffffu);
        let first = min(select(none, at, a == vec4f(top)), select(none, at + 4u, b == vec4f(top)));
        next.best = min(min(first.x, first.y), min(first.z, first.w));
    }
    let e = exp(a - next.top) + exp(b - next.top);
    next.sum += e.x + e.y + e.z + e.w;
    return next;
}

fn keep(row: u32, partial: u32, s: State) {
    if row >= p.rows { return; }
    partials[row * p.partials + partial] = vec4u(bitcast<u32>(s.top), bitcast<u32>(s.sum), s.best, 0u);
}

// Attention that tokens receive; see src/kernels/token_attention.rs. Three launches, registers only:
// `stats`: max and 1 / sum of the softmax of every query of every head; `received`: a column of one head;
// `mean` over the heads. Where a launch does not read a binding another buffer stands in for it.

struct Params {
    seq_len: u32, first_query: u32, n_head: u32, group: u32, // group: query heads that share a key head
    headdim: u32, q_offset: u32, q_stride: u32, k_offset: u32,
    k_stride: u32, scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;         // [seq_len, n_head * headdim]
@group(0) @binding(2) var<storage, read> k: array<f32>;         // [seq_len, n_kv_head * headdim]
@group(0) @binding(3) var<storage, read> before: array<f32>;    // what the launch before wrote
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // stats [n_head, queries, 2]; [n_head, seq_len]; [seq_len]

fn logit(head: u32, i: u32, j: u32) -> f32 {
    let a = p.q_offset + i * p.q_stride + head * p.headdim;
    let b = p.k_offset + j * p.k_stride + head / p.group * p.headdim;
    var sum = 0.0;
    for (var d = 0u; d < p.headdim; d++) { sum += q[a + d] * k[b + d]; }
    return sum * p.scale;
}

@compute @workgroup_size(64)
fn stats(@builtin(global_invocation_id) id: vec3u) {
    let queries = p.seq_len - p.first_query;
    if id.x >= queries { return; }
    let i = p.first_query + id.x;
    let head = id.y;
    var largest = logit(head, i, 0u);
    var sum = 1.0;
    for (var j = 1u; j <= i; j++) {
        let s = logit(head, i, j);
        let m = max(largest, s);
        sum = sum * exp(largest - m) + exp(s - m);
        largest = m;
    }
    let at = (head * queries + id.x) * 2u;
    out[at] = largest;
    out[at + 1u] = 1.0 / sum;
}

@compute @workgroup_size(64)
fn received(@builtin(global_invocation_id) id: vec3u) {
    let j = id.x;
    if j >= p.seq_len { return; }
    let queries = p.seq_len - p.first_query;
    let head = id.y;
    let first = max(j, p.first_query);
    var sum = 0.0;
    for (var i = first; i < p.seq_len; i++) {
        let at = (head * queries + i - p.first_query) * 2u;
        sum += exp(logit(head, i, j) - before[at]) * before[at + 1u];
    }
    out[head * p.seq_len + j] = sum / f32(p.seq_len - first);
}

@compute @workgroup_size(64)
fn mean(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= p.seq_len { return; }
    var sum = 0.0;
    for (var head = 0u; head < p.n_head; head++) { sum += before[head * p.seq_len + id.x]; }
    out[id.x] = sum / f32(p.n_head);
}

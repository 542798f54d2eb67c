// Causal attention with an online softmax; see src/kernels/attention.rs for the two forms and when each runs.
// No barrier in the form for many queries: software adapters pay dearly for them.

struct Params {
    seq_len: u32, n_past: u32, n_head: u32, group: u32,       // group: query heads that share a key head
    headdim: u32, head4: u32, tiles: u32, splits: u32,        // head4: vec4s a head
    q_offset: u32, q_stride: u32, k_offset: u32, k_stride: u32, // in vec4s
    v_offset: u32, v_stride: u32, scale: f32, biased: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;     // [seq_len, n_head * head4]
@group(0) @binding(1) var<storage, read> x: array<f32>;       // partial: [seq_len * n_head, splits, headdim + 2]
@group(0) @binding(2) var<storage, read> k: array<vec4f>;     // [n_past + seq_len, n_kv_head * head4]
@group(0) @binding(3) var<storage, read> v: array<vec4f>;     // as k
@group(0) @binding(4) var<storage, read> bias: array<f32>;    // [n_past + seq_len] where p.biased is 1
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // [seq_len, n_head * headdim], or partial

const MASKED = -1e30;

// What is added to the logits of four keys.
fn biases(j: vec4u) -> vec4f {
    if p.biased == 0u { return vec4f(); }
    return vec4f(bias[j.x], bias[j.y], bias[j.z], bias[j.w]);
}

// vec4s of the output one lane holds in registers; a wider head is shared by `tiles` lanes, which repeat the scores.
override TILE4 = 16u;

// What eight keys weigh, where their values start, and how much what was summed before shrinks.
struct Weights { a: vec4f, b: vec4f, low: vec4u, high: vec4u, shrink: f32 }

// Adds the eight values of vec4 `c` of the tile that starts at vec4 `first`.
fn fold(acc: vec4f, c: u32, first: u32, w: Weights) -> vec4f {
    if c >= TILE4 { return acc; }
    let d = min(first + c, p.head4 - 1u);
    return acc * w.shrink
        + w.a.x * v[w.low.x + d] + w.a.y * v[w.low.y + d] + w.a.z * v[w.low.z + d] + w.a.w * v[w.low.w + d]
        + w.b.x * v[w.high.x + d] + w.b.y * v[w.high.y + d] + w.b.z * v[w.high.z + d] + w.b.w * v[w.high.w + d];
}

// Writes what there is of vec4 `c` of the tile that starts at vec4 `first`.
fn put(acc: vec4f, c: u32, first: u32, r: Result) {
    if c < TILE4 { finish(acc, r.largest, r.sum, r.row, r.split, (first + c) * 4u); }
}

struct Result { largest: f32, sum: f32, row: u32, split: u32 }

// Many queries: a lane per (query, head, tile, split of the keys), 8 keys at a time. Lanes of a workgroup share a key head.
@compute @workgroup_size(64)
fn queries(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) wg: vec3u) {
    if id.x >= p.seq_len * p.group { return; }
    let t = id.x / p.group;
    let kv = wg.y / p.tiles;
    let first = (wg.y - kv * p.tiles) * TILE4;
    let head = kv * p.group + id.x - t * p.group;
    let q0 = p.q_offset + t * p.q_stride + head * p.head4;
    let k_head = p.k_offset + kv * p.head4;
    let v_head = p.v_offset + kv * p.head4;
    let keys = p.n_past + t + 1u;
    // Every index is constant: one that varies would push the sums out of the registers.
    var acc: array<vec4f, 16>;
    var largest = MASKED;
    var sum = 0.0;
    // Equal splits of all keys; one behind what this query sees is empty, and weighs nothing.
    let size = (p.n_past + p.seq_len + p.splits - 1u) / p.splits;
    let end = min(keys, (wg.z + 1u) * size);
    for (var j = wg.z * size; j < end; j += 8u) {
        let lo = min(vec4u(j, j + 1u, j + 2u, j + 3u), vec4u(end - 1u));
        let hi = min(vec4u(j + 4u, j + 5u, j + 6u, j + 7u), vec4u(end - 1u));
        let kl = k_head + lo * p.k_stride;
        let kh = k_head + hi * p.k_stride;
        var a = vec4f();
        var b = vec4f();
        for (var d = 0u; d < p.head4; d++) {
            let qd = q[q0 + d];
            a += vec4f(dot(qd, k[kl.x + d]), dot(qd, k[kl.y + d]), dot(qd, k[kl.z + d]), dot(qd, k[kl.w + d]));
            b += vec4f(dot(qd, k[kh.x + d]), dot(qd, k[kh.y + d]), dot(qd, k[kh.z + d]), dot(qd, k[kh.w + d]));
        }
        let left = end - j;
        a = select(vec4f(MASKED), a * p.scale + biases(lo), vec4u(0u, 1u, 2u, 3u) < vec4u(left));
        b = select(vec4f(MASKED), b * p.scale + biases(hi), vec4u(4u, 5u, 6u, 7u) < vec4u(left));
        let m4 = max(a, b);
        let m = max(largest, max(max(m4.x, m4.y), max(m4.z, m4.w)));
        let shrink = exp(largest - m);
        largest = m;
        a = exp(a - m);
        b = exp(b - m);
        sum = sum * shrink + dot(a + b, vec4f(1.0));
        let w = Weights(a, b, v_head + lo * p.v_stride, v_head + hi * p.v_stride, shrink);
        acc[0] = fold(acc[0], 0u, first, w);
        acc[1] = fold(acc[1], 1u, first, w);
        acc[2] = fold(acc[2], 2u, first, w);
        acc[3] = fold(acc[3], 3u, first, w);
        acc[4] = fold(acc[4], 4u, first, w);
        acc[5] = fold(acc[5], 5u, first, w);
        acc[6] = fold(acc[6], 6u, first, w);
        acc[7] = fold(acc[7], 7u, first, w);
        acc[8] = fold(acc[8], 8u, first, w);
        acc[9] = fold(acc[9], 9u, first, w);
        acc[10] = fold(acc[10], 10u, first, w);
        acc[11] = fold(acc[11], 11u, first, w);
        acc[12] = fold(acc[12], 12u, first, w);
        acc[13] = fold(acc[13], 13u, first, w);
        acc[14] = fold(acc[14], 14u, first, w);
        acc[15] = fold(acc[15], 15u, first, w);
    }
    let r = Result(largest, sum, t * p.n_head + head, wg.z);
    put(acc[0], 0u, first, r);
    put(acc[1], 1u, first, r);
    put(acc[2], 2u, first, r);
    put(acc[3], 3u, first, r);
    put(acc[4], 4u, first, r);
    put(acc[5], 5u, first, r);
    put(acc[6], 6u, first, r);
    put(acc[7], 7u, first, r);
    put(acc[8], 8u, first, r);
    put(acc[9], 9u, first, r);
    put(acc[10], 10u, first, r);
    put(acc[11], 11u, first, r);
    put(acc[12], 12u, first, r);
    put(acc[13], 13u, first, r);
    put(acc[14], 14u, first, r);
    put(acc[15], 15u, first, r);
}

var<workgroup> shared_values: array<f32, 256>;
var<workgroup> tops: array<f32, 16>;
var<workgroup> weight: array<f32, 256>;
var<workgroup> parts: array<vec4f, 256>;

// Few queries: a workgroup per (query, head) and 256 keys. First a lane per key; then the lanes that hold one vec4 of
// the output share the keys and add up what they found.
@compute @workgroup_size(256)
fn keys(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
    let t = wg.x / p.n_head;
    let head = wg.x - t * p.n_head;
    let kv = head / p.group;
    let q0 = p.q_offset + t * p.q_stride + head * p.head4;
    let start = wg.y * 256u;
    let total = p.n_past + t + 1u;
    let key = min(start + lane, total - 1u);
    let seen = start + lane < total;
    let at = p.k_offset + kv * p.head4 + key * p.k_stride;
    var s = 0.0;
    for (var d = 0u; d < p.head4; d++) { s += dot(q[q0 + d], k[at + d]); }
    s *= p.scale;
    if p.biased != 0u { s += bias[key]; }
    shared_values[lane] = select(MASKED, s, seen);
    workgroupBarrier();
    if lane < 16u {
        var top = MASKED;
        for (var i = 0u; i < 16u; i++) { top = max(top, shared_values[lane * 16u + i]); }
        tops[lane] = top;
    }
    workgroupBarrier();
    var m = MASKED;
    for (var i = 0u; i < 16u; i++) { m = max(m, tops[i]); }
    // A split may lie behind what an early query of the chunk sees: then every weight is 0.
    weight[lane] = select(0.0, exp(s - m), seen);
    workgroupBarrier();
    if lane < 16u {
        var sum = 0.0;
        for (var i = 0u; i < 16u; i++) { sum += weight[lane * 16u + i]; }
        tops[lane] = sum;
    }
    let count = clamp(total, start, start + 256u) - start;
    let shares = 256u / p.head4;
    let d = lane % p.head4;
    var acc = vec4f();
    if lane < shares * p.head4 {
        let first = p.v_offset + kv * p.head4 + d;
        for (var j = lane / p.head4; j < count; j += shares) {
            acc += weight[j] * v[first + (start + j) * p.v_stride];
        }
    }
    parts[lane] = acc;
    workgroupBarrier();
    if lane >= p.head4 { return; }
    for (var i = 1u; i < shares; i++) { acc += parts[i * p.head4 + lane]; }
    var sum = 0.0;
    for (var i = 0u; i < 16u; i++) { sum += tops[i]; }
    finish(acc, m, sum, wg.x, wg.y, 4u * lane);
}

// Writes four values of the output from dimension `i` on; of the partial result where the keys are split.
fn finish(acc: vec4f, largest: f32, sum: f32, row: u32, split: u32, i: u32) {
    var to = row * p.headdim;
    var value = acc;
    if p.splits == 1u {
        value = acc / sum;
    } else {
        to = (row * p.splits + split) * (p.headdim + 2u);
        if i == 0u {
            y[to + p.headdim] = largest;
            y[to + p.headdim + 1u] = sum;
        }
    }
    if i < p.headdim { y[to + i] = value.x; }
    if i + 1u < p.headdim { y[to + i + 1u] = value.y; }
    if i + 2u < p.headdim { y[to + i + 2u] = value.z; }
    if i + 3u < p.headdim { y[to + i + 3u] = value.w; }
}

// Heads of x padded with zeros to whole vec4s; q_offset and q_stride count elements here.
@compute @workgroup_size(64)
fn pad(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = (group.y * groups.x + group.x) * 64u + local.x;
    let width = p.head4 * 4u;
    if i >= p.seq_len * p.n_head * width { return; }
    let d = i % width;
    let head = i / width % p.n_head;
    let t = i / width / p.n_head;
    y[i] = 0.0;
    if d < p.headdim { y[i] = x[p.q_offset + t * p.q_stride + head * p.headdim + d]; }
}

// y = the splits' sums weighed by exp(their maximum - the maximum). A lane per (query, head, dimension).
@compute @workgroup_size(64)
fn merge(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = (group.y * groups.x + group.x) * 64u + lane;
    if id >= p.seq_len * p.n_head * p.headdim { return; }
    let row = id / p.headdim;
    let d = id - row * p.headdim;
    let width = p.headdim + 2u;
    let start = row * p.splits * width;
    var m = MASKED;
    for (var i = 0u; i < p.splits; i++) { m = max(m, x[start + i * width + p.headdim]); }
    var acc = 0.0;
    var sum = 0.0;
    for (var i = 0u; i < p.splits; i++) {
        let from_split = start + i * width;
        let w = exp(x[from_split + p.headdim] - m);
        acc += w * x[from_split + d];
        sum += w * x[from_split + p.headdim + 1u];
    }
    y[id] = acc / sum;
}

// y = x Wᵀ + bias + residual for at most four rows and W packed as 2:4; see src/kernels/packed.rs. `weights` begins
// with the indices; p.w_stride is where the values start, counted in values.

override ROWS: u32 = 4u;
override LANES: u32 = 8u;
var<workgroup> partial: array<array<vec2f, 4>, 64>;

// Inputs k..k + 4 of row `row` of x, each lane the one that its two bits name. What is behind the depth is zero.
fn picked(row: u32, k: u32, bits: vec4u) -> vec4f {
    if k >= p.depth { return vec4f(0.0); }
    let v = x4(x_row(row), k);
    let odd = (bits & vec4u(1u)) != vec4u(0u);
    let low = select(vec4f(v.x), vec4f(v.y), odd);
    let high = select(vec4f(v.z), vec4f(v.w), odd);
    return select(low, high, (bits & vec4u(2u)) != vec4u(0u));
}

// One chunk: four groups of four inputs from k on, two rows of W. Lanes 0, 1 belong to the first row, 2, 3 to the second.
fn chunk_sum(row: u32, k: u32, m: u32, a: Eight, b: Eight) -> vec4f {
    let bits = vec4u(m, m >> 2u, m >> 4u, m >> 6u);
    return picked(row, k, bits) * a.low
        + picked(row, k + 4u, bits >> vec4u(8u)) * a.high
        + picked(row, k + 8u, bits >> vec4u(16u)) * b.low
        + picked(row, k + 12u, bits >> vec4u(24u)) * b.high;
}

// Every STEP-th chunk of a pair of rows, from `first` on.
fn pair_sums(pair: u32, first: u32, step: u32) -> array<vec4f, 4> {
    let chunks = (p.depth + 15u) / 16u;
    var s: array<vec4f, 4>;
    for (var c = first; c < chunks; c += step) {
        let at = pair * chunks + c;
        let m = weights[at >> 2u][at & 3u];
        let a = eight(p.w_stride + at * 16u);
        let b = eight(p.w_stride + at * 16u + 8u);
        s[0] += chunk_sum(0u, c * 16u, m, a, b);
        if ROWS > 1u { s[1] += chunk_sum(1u, c * 16u, m, a, b); }
        if ROWS > 2u { s[2] += chunk_sum(2u, c * 16u, m, a, b); }
        if ROWS > 3u { s[3] += chunk_sum(3u, c * 16u, m, a, b); }
    }
    return s;
}

// An invocation walks a pair of rows: for software adapters, where a barrier costs more than scattered reads.
@compute @workgroup_size(16)
fn direct(@builtin(global_invocation_id) id: vec3u) {
    if id.x * 2u >= p.outs { return; }
    let s = pair_sums(id.x, 0u, 1u);
    for (var row = 0u; row < ROWS; row++) {
        put(row, id.x * 2u, s[row].x + s[row].y);
        put(row, id.x * 2u + 1u, s[row].z + s[row].w);
    }
}

// LANES neighbours share a pair, so that they read neighbouring memory.
@compute @workgroup_size(64)
fn shared_rows(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    // Pairs that are not there compute the last one; put() drops it.
    let pair = group.x * (64u / LANES) + local / LANES;
    let s = pair_sums(min(pair, (p.outs - 1u) / 2u), lane, LANES);
    for (var row = 0u; row < ROWS; row++) {
        partial[local][row] = vec2f(s[row].x + s[row].y, s[row].z + s[row].w);
    }
    workgroupBarrier();
    if lane >= ROWS { return; }
    var sum = vec2f(0.0);
    for (var i = 0u; i < LANES; i++) { sum += partial[local - lane + i][lane]; }
    put(lane, pair * 2u, sum.x);
    put(lane, pair * 2u + 1u, sum.y);
}

// y = x Wᵀ + bias + residual for four rows a workgroup; see src/kernels/matmul.rs. Every weight is read once.

override ROWS: u32 = 4u;  // rows of x; a constant, so that what is not there costs nothing
override LANES: u32 = 8u; // neighbours that share a row of W in the form for real GPUs
var<workgroup> partial: array<vec4f, 64>;

// An invocation walks four rows of W: for software adapters, where a barrier costs more than scattered reads.
@compute @workgroup_size(16)
fn direct(@builtin(global_invocation_id) id: vec3u) {
    let o = id.x * 4u;
    if o >= p.outs { return; }
    let w0 = w_row(o);
    let w1 = w_row(o + 1u);
    let w2 = w_row(o + 2u);
    let w3 = w_row(o + 3u);
    let r0 = x_row(0u);
    let r1 = x_row(1u);
    let r2 = x_row(2u);
    let r3 = x_row(3u);
    var s: array<vec4f, 4>;
    for (var k = 0u; k < p.depth; k += 8u) {
        let w = columns(w0, w1, w2, w3, k);
        s[0] += x4(r0, k) * w.low + x4(r0, k + 4u) * w.high;
        if ROWS > 1u { s[1] += x4(r1, k) * w.low + x4(r1, k + 4u) * w.high; }
        if ROWS > 2u { s[2] += x4(r2, k) * w.low + x4(r2, k + 4u) * w.high; }
        if ROWS > 3u { s[3] += x4(r3, k) * w.low + x4(r3, k + 4u) * w.high; }
    }
    put4(0u, o, s[0]);
    if ROWS > 1u { put4(1u, o, s[1]); }
    if ROWS > 2u { put4(2u, o, s[2]); }
    if ROWS > 3u { put4(3u, o, s[3]); }
}

fn eight_of_x(row: u32, k: u32, w: Eight) -> f32 {
    let start = x_row(row);
    return dot(x4(start, k), w.low) + dot(x4(start, k + 4u), w.high);
}

// Eight inputs of up to four rows of x from `r` on times theirs of W.
fn met(r: u32, k: u32, w: Eight) -> vec4f {
    var s = vec4f(eight_of_x(r, k, w), 0.0, 0.0, 0.0);
    if ROWS > 1u { s.y = eight_of_x(r + 1u, k, w); }
    if ROWS > 2u { s.z = eight_of_x(r + 2u, k, w); }
    if ROWS > 3u { s.w = eight_of_x(r + 3u, k, w); }
    return s;
}

// LANES neighbours share one row of W, so that they read neighbouring memory.
@compute @workgroup_size(64)
fn shared_rows(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    // Four rows of x a workgroup: more of them are a dimension of the launch.
    let r = group.y * 4u;
    let lane = local % LANES;
    let o = group.x * (64u / LANES) + local / LANES;
    let start = w_row(o);
    var s = vec4f(0.0);
    var k = lane * 8u;
    // Four reads of weights are under way before the first is waited for.
    for (; k + 24u * LANES < p.depth; k += 32u * LANES) {
        let a = eight(start + k);
        let b = eight(start + k + 8u * LANES);
        let c = eight(start + k + 16u * LANES);
        let d = eight(start + k + 24u * LANES);
        s += met(r, k, a);
        s += met(r, k + 8u * LANES, b);
        s += met(r, k + 16u * LANES, c);
        s += met(r, k + 24u * LANES, d);
    }
    for (; k < p.depth; k += 8u * LANES) { s += met(r, k, eight(start + k)); }
    partial[local] = s;
    workgroupBarrier();
    if lane != 0u { return; }
    for (var i = 1u; i < LANES; i++) { s += partial[local + i]; }
    put(r, o, s.x);
    if ROWS > 1u { put(r + 1u, o, s.y); }
    if ROWS > 2u { put(r + 2u, o, s.z); }
    if ROWS > 3u { put(r + 3u, o, s.w); }
}

// y = x Wᵀ + bias + residual for at most four rows; see src/kernels/matmul.rs. Every weight is read once.

override LANES: u32 = 8u;
var<workgroup> partial: array<vec4f, 64>;

// Sums over the inputs first, first + step, ... (in eights) of output o for each of four rows.
fn sums(o: u32, first: u32, step: u32) -> vec4f {
    let start = w_row(o);
    var s = vec4f(0.0);
    for (var k = first; k < p.depth; k += step) {
        let w = eight(start + k);
        s.x += dot(x4(x_row(0u), k), w.low) + dot(x4(x_row(0u), k + 4u), w.high);
        if p.rows > 1u { s.y += dot(x4(x_row(1u), k), w.low) + dot(x4(x_row(1u), k + 4u), w.high); }
        if p.rows > 2u { s.z += dot(x4(x_row(2u), k), w.low) + dot(x4(x_row(2u), k + 4u), w.high); }
        if p.rows > 3u { s.w += dot(x4(x_row(3u), k), w.low) + dot(x4(x_row(3u), k + 4u), w.high); }
    }
    return s;
}

fn finish(o: u32, s: vec4f) {
    put(0u, o, s.x);
    put(1u, o, s.y);
    put(2u, o, s.z);
    put(3u, o, s.w);
}

// An invocation walks one row of W: for software adapters, where a barrier costs more than scattered reads.
@compute @workgroup_size(64)
fn direct(@builtin(global_invocation_id) id: vec3u) {
    if id.x < p.outs { finish(id.x, sums(id.x, 0u, 8u)); }
}

// LANES neighbours share one row of W, so that they read neighbouring memory.
@compute @workgroup_size(64)
fn shared_rows(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let o = group.x * (64u / LANES) + local / LANES;
    partial[local] = sums(o, lane * 8u, LANES * 8u);
    workgroupBarrier();
    if lane != 0u { return; }
    var total = vec4f(0.0);
    for (var i = 0u; i < LANES; i++) { total += partial[local + i]; }
    finish(o, total);
}

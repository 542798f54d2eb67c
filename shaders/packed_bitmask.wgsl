// y = x Wᵀ + bias + residual for at most four rows and W packed under bitmasks; see src/kernels/packed.rs. `weights`
// begins with the masks [outs, chunks] and the starts [outs + 1]; p.w_stride is where the values start, counted in values.

override ROWS: u32 = 4u;
override LANES: u32 = 8u;
var<workgroup> partial: array<vec4f, 64>;

fn word(i: u32) -> u32 {
    return weights[i >> 2u][i & 3u];
}

fn value(i: u32) -> f32 {
    let at = p.w_stride + i;
    if F16 {
        let two = unpack2x16float(word(at >> 1u));
        return select(two.x, two.y, (at & 1u) != 0u);
    }
    return bitcast<f32>(word(at));
}

// The values of one mask, the first of them at `at`, times inputs k..k + 32 of each row of x.
fn mask_sum(mask: u32, at: u32, k: u32) -> vec4f {
    var m = mask;
    var s = vec4f(0.0);
    for (var i = at; m != 0u; i++) {
        let input = k + firstTrailingBit(m);
        m &= m - 1u;
        let w = value(i);
        s.x += w * x[x_row(0u) + input];
        if ROWS > 1u { s.y += w * x[x_row(1u) + input]; }
        if ROWS > 2u { s.z += w * x[x_row(2u) + input]; }
        if ROWS > 3u { s.w += w * x[x_row(3u) + input]; }
    }
    return s;
}

fn put_rows(o: u32, s: vec4f) {
    put(0u, o, s.x);
    if ROWS > 1u { put(1u, o, s.y); }
    if ROWS > 2u { put(2u, o, s.z); }
    if ROWS > 3u { put(3u, o, s.w); }
}

// An invocation walks a row of W: for software adapters.
@compute @workgroup_size(16)
fn direct(@builtin(global_invocation_id) id: vec3u) {
    let o = id.x;
    if o >= p.outs { return; }
    let chunks = (p.depth + 31u) / 32u;
    var at = word(p.outs * chunks + o);
    var s = vec4f(0.0);
    for (var c = 0u; c < chunks; c++) {
        let mask = word(o * chunks + c);
        s += mask_sum(mask, at, c * 32u);
        at += countOneBits(mask);
    }
    put_rows(o, s);
}

// LANES neighbours share a row; each counts the bits of those before it.
@compute @workgroup_size(64)
fn shared_rows(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let out = group.x * (64u / LANES) + local / LANES;
    let o = min(out, p.outs - 1u);
    let chunks = (p.depth + 31u) / 32u;
    var at = word(p.outs * chunks + o);
    var s = vec4f(0.0);
    for (var first = 0u; first < chunks; first += LANES) {
        var before = 0u;
        var all = 0u;
        var mine = 0u;
        for (var i = 0u; i < LANES && first + i < chunks; i++) {
            let mask = word(o * chunks + first + i);
            if i == lane { mine = mask; }
            if i < lane { before += countOneBits(mask); }
            all += countOneBits(mask);
        }
        s += mask_sum(mine, at + before, (first + lane) * 32u);
        at += all;
    }
    partial[local] = s;
    workgroupBarrier();
    if lane != 0u { return; }
    for (var i = 1u; i < LANES; i++) { s += partial[local + i]; }
    put_rows(out, s);
}

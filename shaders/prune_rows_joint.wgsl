// MRP inside a block, an invocation a row; see src/kernels/prune_rows.rs. `space` holds what belongs to the row, its
// elements as far apart as there are rows in a launch, so that neighbours read neighbours.

// MRP inside a block: λ = (G_PP)⁻¹ w_P by a packed Cholesky in `space`, errors = λ U_BBᵀ, w_B -= errors U_BB.
@compute @workgroup_size(64)
fn jointly(@builtin(global_invocation_id) id: vec3u) {
    let row = p.first + id.x;
    if row >= p.rows { return; }
    let lanes = min(p.rows, p.first + p.span) - p.first; // rows of this launch lie side by side in `space`
    let most = p.remove;
    let z = id.x + (most * (most + 1u) / 2u) * lanes;
    let members = z + most * lanes;
    var v: array<f32, 8>;
    var left: vec2u;
    var count = 0u;
    if GROUP == 1u { left = limit(row); }
    for (var j = p.a; j < p.b; j += CHUNK) {
        let size = min(CHUNK, p.b - j);
        load(&v, row, j, size);
        var bits: u32;
        if GROUP == 1u { bits = lowest(&v, j, size, &left); } else { bits = choose(&v, j, size); }
        for (var c = 0u; c < size; c++) {
            if ((bits >> c) & 1u) == 0u || count == most { continue; }
            space[members + count * lanes] = f32(j + c);
            count++;
        }
    }
    let floor = f32(most) * 1.2e-7;
    for (var i = 0u; i < count; i++) {
        let column = u32(space[members + i * lanes]);
        let start = id.x + (i * (i + 1u) / 2u) * lanes;
        let whole = inverse(column, column);
        var pivot = whole;
        var x = w[at(row, column)];
        for (var q = 0u; q < i; q++) {
            let other = id.x + (q * (q + 1u) / 2u) * lanes;
            var s = inverse(column, u32(space[members + q * lanes]));
            for (var t = 0u; t < q; t++) { s -= space[start + t * lanes] * space[other + t * lanes]; }
            s /= space[other + q * lanes];
            space[start + q * lanes] = s;
            pivot -= s * s;
            x -= s * space[z + q * lanes];
        }
        let good = pivot > floor * whole;
        if !good { status[0] = 1.0; }
        let root = sqrt(select(1.0, pivot, good));
        space[start + i * lanes] = root;
        space[z + i * lanes] = x / root;
    }
    for (var i = count; i > 0u; i--) {
        let start = id.x + ((i - 1u) * i / 2u) * lanes;
        let lambda = space[z + (i - 1u) * lanes] / space[start + (i - 1u) * lanes];
        space[z + (i - 1u) * lanes] = lambda;
        for (var q = 0u; q + 1u < i; q++) { space[z + q * lanes] -= lambda * space[start + q * lanes]; }
    }
    var next = 0u;
    for (var k = p.a; k < p.b; k++) {
        var e = 0.0;
        let gone = next < count && u32(space[members + next * lanes]) == k;
        for (var i = next; i < count; i++) {
            e += u[k * p.n + u32(space[members + i * lanes])] * space[z + i * lanes];
        }
        errors[(k - p.a) * p.rows + row] = e;
        var value = w[at(row, k)];
        for (var t = p.a; t <= k; t++) { value -= errors[(t - p.a) * p.rows + row] * u[t * p.n + k]; }
        w[at(row, k)] = select(value, 0.0, gone);
        next += select(0u, 1u, gone);
    }
}

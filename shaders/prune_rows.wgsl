// Rows of weights, an invocation each, a block of columns at a time; see src/kernels/prune_rows.rs.

override CHUNK: u32 = 8; // columns in registers: 8, or a group

// w = the given weights without those of dead inputs.
@compute @workgroup_size(256)
fn revive(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) all: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = (id.y * all.x + id.x) * 256u + lane;
    if i < p.rows * p.n { w[i] = given[i] * scales[p.n + i / p.column_step % p.n]; }
}

// G (into w): element j, o of U[s.., block]ᵀ U[s.., block], where s begins the span that j lies in.
@compute @workgroup_size(64)
fn blocks(@builtin(global_invocation_id) id: vec3u) {
    let j = id.x;
    let other = j / p.width * p.width + id.y;
    if j >= p.n || other >= p.n { return; }
    var sum = 0.0;
    for (var t = j / p.span * p.span; t <= min(j, other); t++) { sum += u[t * p.n + j] * u[t * p.n + other]; }
    w[j * p.width + id.y] = sum;
}

fn load(v: ptr<function, array<f32, 8>>, row: u32, j: u32, size: u32) {
    for (var c = 0u; c < size; c++) { (*v)[c] = w[at(row, j + c)]; }
}

fn lowest(v: ptr<function, array<f32, 8>>, j: u32, size: u32, left: ptr<function, vec2u>) -> u32 {
    var bits = 0u;
    for (var c = 0u; c < size; c++) { bits |= select(0u, 1u << c, goes(score((*v)[c], j + c), left)); }
    return bits;
}

// errors = keep: 1, or 0 for what goes.
@compute @workgroup_size(64)
fn mark(@builtin(global_invocation_id) id: vec3u) {
    let row = id.x;
    if row >= p.rows { return; }
    var v: array<f32, 8>;
    var left: vec2u;
    if GROUP == 1u { left = limit(row); }
    for (var j = p.a; j < p.b; j += CHUNK) {
        let size = min(CHUNK, p.b - j);
        load(&v, row, j, size);
        var bits: u32;
        if GROUP == 1u { bits = lowest(&v, j, size, &left); } else { bits = choose(&v, j, size); }
        for (var c = 0u; c < size; c++) { errors[at(row, j + c)] = f32(1u - ((bits >> c) & 1u)); }
    }
}

// SparseGPT inside a block: e_j = w_j / U_jj of what goes; later columns take over.
@compute @workgroup_size(64)
fn in_turn(@builtin(global_invocation_id) id: vec3u) {
    let row = id.x;
    if row >= p.rows { return; }
    var v: array<f32, 8>;
    var left: vec2u;
    var bits: u32;
    if GROUP == 1u { left = limit(row); }
    for (var j = p.a; j < p.b; j += CHUNK) {
        let size = min(CHUNK, p.b - j);
        load(&v, row, j, size);
        if GROUP == 1u { bits = lowest(&v, j, size, &left); }
        for (var t = p.a; t < j; t++) {
            let e = errors[(t - p.a) * p.rows + row];
            let start = t * p.n + j;
            for (var c = 0u; c < CHUNK; c++) { v[c] -= e * u[start + min(c, size - 1u)]; }
        }
        if GROUP != 1u { bits = choose(&v, j, size); }
        for (var c = 0u; c < size; c++) {
            let start = (j + c) * p.n + j;
            let gone = ((bits >> c) & 1u) == 1u;
            let e = select(0.0, v[c] / u[start + c], gone);
            for (var o = c + 1u; o < size; o++) { v[o] -= e * u[start + o]; }
            errors[(j + c - p.a) * p.rows + row] = e;
            w[at(row, j + c)] = select(v[c], 0.0, gone);
        }
    }
}

fn four_errors(t: u32, row: u32) -> vec4f {
    let start = (t - p.a) * p.rows;
    let last = p.rows - 1u;
    return vec4f(errors[start + min(row, last)], errors[start + min(row + 1u, last)],
        errors[start + min(row + 2u, last)], errors[start + min(row + 3u, last)]);
}

// Columns after the block: w -= errors U. Four rows by four columns; weights lie as [n, rows].
@compute @workgroup_size(8, 8)
fn carry_on(@builtin(global_invocation_id) id: vec3u) {
    let row = id.x * 4u;
    let j = p.b + id.y * 4u;
    if row >= p.rows || j >= p.n { return; }
    let last = p.n - 1u;
    var s: array<vec4f, 4>;
    for (var t = p.a; t < p.b; t++) {
        let e = four_errors(t, row);
        let start = t * p.n;
        s[0] += u[start + j] * e;
        s[1] += u[start + min(j + 1u, last)] * e;
        s[2] += u[start + min(j + 2u, last)] * e;
        s[3] += u[start + min(j + 3u, last)] * e;
    }
    for (var c = 0u; c < 4u && j + c < p.n; c++) {
        for (var i = 0u; i < 4u && row + i < p.rows; i++) { w[(j + c) * p.rows + row + i] -= s[c][i]; }
    }
}

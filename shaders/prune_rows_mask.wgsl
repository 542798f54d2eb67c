// Which weights go: mask S (lowest w² / G_jj) and mask M (least joint loss of a group); see src/kernels/prune_rows.rs.

struct Params {
    rows: u32, n: u32, a: u32, b: u32, // columns a..b
    row_step: u32, column_step: u32,   // where weights lie
    remove: u32,                       // of a row between a and b, unless there are groups
    width: u32, span: u32,             // of G; `jointly`: span rows a launch
    first: u32,                        // row of the first invocation
}

override GROUP: u32 = 1; // 1: no groups
override ZEROS: u32 = 0;
override JOINT: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
// An entry point uses one of those that share a binding.
@group(0) @binding(1) var<storage, read> u: array<f32>;            // [n, n]
@group(0) @binding(1) var<storage, read> given: array<f32>;        // weights before
@group(0) @binding(2) var<storage, read> g: array<f32>;            // [n, width]: blocks of an inverse, side by side
@group(0) @binding(2) var<storage, read> scales: array<f32>;       // [2 n + 1], see inverse_factor
@group(0) @binding(3) var<storage, read_write> w: array<f32>;      // weights; `blocks`: g; `mark`: weights are read
@group(0) @binding(4) var<storage, read_write> errors: array<f32>; // [columns of a block, rows]; `mark`: keep [rows, n]
@group(0) @binding(5) var<storage, read_write> space: array<f32>;  // `jointly`: [packed(most) + 2 most, rows]
@group(0) @binding(6) var<storage, read_write> status: array<f32>; // [1]

fn at(row: u32, j: u32) -> u32 {
    return row * p.row_step + j * p.column_step;
}

// G of two columns of one block.
fn inverse(i: u32, j: u32) -> f32 {
    return g[i * p.width + j % p.width];
}

// Scores are not negative, so their bits sort like they do.
fn score(w: f32, j: u32) -> u32 {
    return bitcast<u32>(w * w / inverse(j, j));
}

fn below(row: u32, limit: u32) -> u32 {
    var count = 0u;
    for (var j = p.a; j < p.b; j++) { count += select(0u, 1u, score(w[at(row, j)], j) < limit); }
    return count;
}

// The score of the last weight that goes, bit by bit, and how many of that score go: those of the lowest index.
fn limit(row: u32) -> vec2u {
    var key = 0u;
    if p.remove == 0u { return vec2u(); }
    for (var bit = 0x40000000u; bit > 0u; bit >>= 1u) {
        if below(row, key | bit) < p.remove { key |= bit; }
    }
    return vec2u(key, p.remove - below(row, key));
}

// Whether the weight goes; takes from the ties that are left.
fn goes(key: u32, left: ptr<function, vec2u>) -> bool {
    let tied = key == (*left).x && (*left).y > 0u;
    if tied { (*left).y -= 1u; }
    return tied || key < (*left).x;
}

// w_Pᵀ (G_PP)⁻¹ w_P for the members `bits` of the group at column j.
fn joint_loss(v: ptr<function, array<f32, 8>>, bits: u32, j: u32) -> f32 {
    var l: array<f32, 16>;
    var z: array<f32, 4>;
    var members: array<u32, 4>;
    var size = 0u;
    var loss = 0.0;
    for (var c = 0u; c < GROUP; c++) {
        if ((bits >> c) & 1u) == 0u { continue; }
        var x = (*v)[c];
        var pivot = inverse(j + c, j + c);
        for (var q = 0u; q < size; q++) {
            var s = inverse(j + c, j + members[q]);
            for (var t = 0u; t < q; t++) { s -= l[size * 4u + t] * l[q * 4u + t]; }
            s /= l[q * 4u + q];
            l[size * 4u + q] = s;
            pivot -= s * s;
            x -= s * z[q];
        }
        if !(pivot > 0.0) { return 3e38; }
        l[size * 4u + size] = sqrt(pivot);
        z[size] = x / l[size * 4u + size];
        loss += z[size] * z[size];
        members[size] = c;
        size++;
    }
    return loss;
}

// Members of the group of `size` columns at j that go, a bit each.
fn choose(v: ptr<function, array<f32, 8>>, j: u32, size: u32) -> u32 {
    let zeros = size * ZEROS / GROUP;
    var best = 0u;
    if JOINT {
        var least = 3e38;
        // In the order of the sorted members: the lower column is the higher bit of the code.
        for (var code = 1u << size; code > 0u; code--) {
            let bits = reverseBits(code - 1u) >> (32u - size);
            if countOneBits(bits) != zeros { continue; }
            let loss = joint_loss(v, bits, j);
            if loss < least || best == 0u { best = bits; least = loss; }
        }
        return best;
    }
    for (var c = 0u; c < size; c++) {
        let own = score((*v)[c], j + c);
        var rank = 0u;
        for (var o = 0u; o < size; o++) {
            let other = score((*v)[o], j + o);
            rank += select(0u, 1u, other < own || (other == own && o < c));
        }
        best |= select(0u, 1u << c, rank < zeros);
    }
    return best;
}

// U with (XᵀX + λI)⁻¹ = UᵀU; see src/kernels/inverse_factor.rs for the order of the entry points.

struct Params { n: u32, k: u32, stride: u32, damping: f32 }

const SIZE = 32u; // columns of a step

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gram: array<f32>;          // [n, n]
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;  // D [n], then 1 (alive) or 0 [n], mean [1]
@group(0) @binding(3) var<storage, read_write> status: array<f32>;  // [1], 0 as long as all went well
@group(0) @binding(4) var<storage, read_write> m: array<f32>;       // [n, n]; `scaled`: [n, stride]
@group(0) @binding(5) var<storage, read_write> r: array<f32>;       // [32, n]; `turn`: U [n, n]

var<workgroup> sums: array<vec2f, 64>;
var<workgroup> l: array<f32, 1056>; // [32, 33]
var<workgroup> x: array<f32, 1056>; // [32, 33]

// D = diag(H)^-1/2, which inputs are alive, the mean of their diagonal.
@compute @workgroup_size(64)
fn measure(@builtin(local_invocation_index) lane: u32) {
    var sum = vec2f();
    for (var j = lane; j < p.n; j += 64u) {
        let g = gram[j * p.n + j];
        sum += select(vec2f(), vec2f(g, 1.0), g > 0.0);
    }
    sums[lane] = sum;
    workgroupBarrier();
    sum = vec2f();
    for (var i = 0u; i < 64u; i++) { sum += sums[i]; }
    let mean = select(1.0, sum.x / max(sum.y, 1.0), sum.y > 0.0);
    for (var j = lane; j < p.n; j += 64u) {
        let g = gram[j * p.n + j];
        scales[j] = inverseSqrt(select(mean, g, g > 0.0) + p.damping * mean);
        scales[p.n + j] = select(0.0, 1.0, g > 0.0);
    }
    if lane == 0u { scales[2u * p.n] = mean; }
    if lane == 0u { status[0] = 0.0; }
}

// An element of D H D.
fn damped(i: u32, j: u32) -> f32 {
    if i == j { return 1.0; }
    return (gram[i * p.n + j] + gram[j * p.n + i]) * 0.5 * scales[i] * scales[j];
}

// m = J D H D J.
@compute @workgroup_size(16, 16)
fn load(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= p.n || id.y >= p.n { return; }
    m[id.y * p.n + id.x] = damped(p.n - 1u - id.y, p.n - 1u - id.x);
}

// m = D H D with rows as a matrix product reads them.
@compute @workgroup_size(16, 16)
fn scaled(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= p.stride || id.y >= p.n { return; }
    var value = 0.0;
    if id.x < p.n { value = damped(id.y, id.x); }
    m[id.y * p.stride + id.x] = value;
}

// T = L⁻¹ of the block k..k + 32 of the diagonal goes to these columns of r.
@compute @workgroup_size(32)
fn pivots(@builtin(local_invocation_index) lane: u32) {
    let size = min(SIZE, p.n - p.k);
    let floor = f32(p.n) * 1.2e-7;
    for (var j = 0u; j < size; j++) {
        if lane < size { l[lane * 33u + j] = m[(p.k + min(lane, j)) * p.n + p.k + max(lane, j)]; }
    }
    for (var c = 0u; c < size; c++) {
        workgroupBarrier();
        let pivot = l[c * 33u + c];
        let good = pivot > floor;
        let root = sqrt(select(1.0, pivot, good));
        if !good && lane == 0u { status[0] = 1.0; }
        if lane > c && lane < size { l[lane * 33u + c] /= root; }
        workgroupBarrier();
        if lane == c { l[c * 33u + c] = root; }
        if lane > c && lane < size {
            let left = l[lane * 33u + c];
            for (var j = c + 1u; j <= lane; j++) { l[lane * 33u + j] -= left * l[j * 33u + c]; }
        }
    }
    workgroupBarrier();
    if lane >= size { return; }
    for (var i = 0u; i < size; i++) {
        var value = select(0.0, 1.0, i == lane);
        for (var t = lane; t < i; t++) { value -= l[i * 33u + t] * x[t * 33u + lane]; }
        value = select(value / l[i * 33u + i], 0.0, i < lane);
        x[i * 33u + lane] = value;
        r[i * p.n + p.k + lane] = value;
    }
}

// r = T times the rows k..k + 32 of m, outside the block's own columns.
@compute @workgroup_size(64)
fn eliminate(@builtin(global_invocation_id) id: vec3u) {
    let j = id.x;
    let t = id.y;
    if j >= p.n || (j >= p.k && j < p.k + SIZE) { return; }
    var sum = 0.0;
    for (var s = 0u; s <= t; s++) { sum += r[t * p.n + p.k + s] * m[(p.k + s) * p.n + j]; }
    r[t * p.n + j] = sum;
}

fn four(t: u32, c: u32) -> vec4f {
    let start = t * p.n;
    let last = p.n - 1u;
    return vec4f(r[start + min(c, last)], r[start + min(c + 1u, last)],
        r[start + min(c + 2u, last)], r[start + min(c + 3u, last)]);
}

fn put(i: u32, j: u32, values: vec4f) {
    if i >= p.n { return; }
    let fresh = j >= p.k && j < p.k + SIZE;
    for (var c = 0u; c < 4u && j + c < p.n; c++) {
        let at = i * p.n + j + c;
        m[at] = select(m[at], 0.0, fresh) - values[c];
    }
}

// Rows of the block: m = r. Rows after it: m -= rᵀ r; the block's own columns begin with 0.
@compute @workgroup_size(8, 8)
fn subtract(@builtin(global_invocation_id) id: vec3u) {
    let j = id.x * 4u;
    let i = p.k + id.y * 4u;
    if i >= p.n || j >= p.n { return; }
    let size = min(SIZE, p.n - p.k);
    if i < p.k + SIZE {
        for (var t = i; t < min(i + 4u, p.k + size); t++) {
            for (var c = j; c < min(j + 4u, p.k + size); c++) { m[t * p.n + c] = r[(t - p.k) * p.n + c]; }
        }
        return;
    }
    if j >= p.k + SIZE && j + 3u < i { return; } // below the diagonal nothing is read before it is a result
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    for (var t = 0u; t < size; t++) {
        let a = four(t, i);
        let b = four(t, j);
        s0 += a.x * b;
        s1 += a.y * b;
        s2 += a.z * b;
        s3 += a.w * b;
    }
    put(i, j, s0);
    put(i + 1u, j, s1);
    put(i + 2u, j, s2);
    put(i + 3u, j, s3);
}

// U = J m J D, zero below its diagonal.
@compute @workgroup_size(16, 16)
fn turn(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= p.n || id.y >= p.n { return; }
    var value = 0.0;
    if id.x >= id.y { value = m[(p.n - 1u - id.y) * p.n + p.n - 1u - id.x] * scales[id.x]; }
    r[id.y * p.n + id.x] = value;
}

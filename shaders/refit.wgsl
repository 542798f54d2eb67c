// Conjugate gradients for the kept weights of every row; see src/kernels/refit.rs.

struct Params { rows: u32, n: u32, fall: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> image: array<f32>;           // [rows, n]; `open`, `close`: weights
@group(0) @binding(2) var<storage, read> keep: array<f32>;            // [rows, n]
@group(0) @binding(3) var<storage, read> scales: array<f32>;          // D [n]
@group(0) @binding(4) var<storage, read_write> rest: array<f32>;      // [rows, n]: v_P, and -y on the kept weights
@group(0) @binding(5) var<storage, read_write> residual: array<f32>;  // [rows, n]
@group(0) @binding(6) var<storage, read_write> direction: array<f32>; // [rows, n]; `close`: the result
@group(0) @binding(7) var<storage, read_write> norms: array<f32>;     // [rows, 2]: |residual|², and where it stops

const LANES = 64u;

var<workgroup> parts: array<f32, 64>;

fn total(lane: u32, part: f32) -> f32 {
    workgroupBarrier();
    parts[lane] = part;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < LANES; i++) { sum += parts[i]; }
    return sum;
}

fn index(group: vec3u, groups: vec3u) -> u32 {
    return group.y * groups.x + group.x;
}

@compute @workgroup_size(64)
fn open(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = index(group, groups) * LANES + lane;
    if i >= p.rows * p.n { return; }
    rest[i] = select(image[i] / scales[i % p.n], 0.0, keep[i] > 0.0);
}

@compute @workgroup_size(64)
fn close(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = index(group, groups) * LANES + lane;
    if i >= p.rows * p.n { return; }
    direction[i] = select(0.0, image[i] - rest[i] * scales[i % p.n], keep[i] > 0.0);
}

// A round begins at the residual, the image of `rest`.
@compute @workgroup_size(64)
fn begin(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = index(group, groups);
    var part = 0.0;
    if row < p.rows {
        for (var i = row * p.n + lane; i < (row + 1u) * p.n; i += LANES) {
            let r = image[i] * keep[i];
            residual[i] = r;
            direction[i] = r;
            part += r * r;
        }
    }
    let norm = total(lane, part);
    if lane == 0u && row < p.rows {
        norms[2u * row] = norm;
        norms[2u * row + 1u] = norm * p.fall;
    }
}

// One step along `direction`, whose image is given. A row that has arrived, or has nothing left to gain, stands still.
@compute @workgroup_size(64)
fn step_on(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = index(group, groups);
    let inside = row < p.rows;
    let start = row * p.n;
    let end = select(start, start + p.n, inside);
    var part = 0.0;
    for (var i = start + lane; i < end; i += LANES) { part += direction[i] * image[i]; }
    let curvature = total(lane, part);
    var norm = 0.0;
    var goal = 0.0;
    if inside {
        norm = norms[2u * row];
        goal = norms[2u * row + 1u];
    }
    let moves = norm > goal && curvature > 0.0;
    let length = select(0.0, norm / curvature, moves);
    part = 0.0;
    for (var i = start + lane; i < end; i += LANES) {
        rest[i] -= length * direction[i];
        let r = residual[i] - length * image[i] * keep[i];
        residual[i] = r;
        part += r * r;
    }
    let next = total(lane, part);
    let turn = next / max(norm, 1e-38);
    if moves {
        for (var i = start + lane; i < end; i += LANES) { direction[i] = residual[i] + turn * direction[i]; }
    }
    if inside && lane == 0u {
        norms[2u * row] = next;
        // Rounding has eaten what was left to gain.
        if !moves { norms[2u * row + 1u] = max(next, goal); }
    }
}

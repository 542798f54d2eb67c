// y = x * Phi(x), exactly (erf) or with tanh; see src/kernels/gelu.rs. One element a lane.

struct Params { n: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [n]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [n]

const NARROW = 0.70710678;     // 1 / sqrt(2)
const TANH_SCALE = 1.5957691;  // 2 sqrt(2 / pi)

// erfc(a) for a >= 0: below 1 by a polynomial of erf(a) / a, above by Abramowitz & Stegun 7.1.26.
fn erfc(a: f32) -> f32 {
    let z = a * a;
    let near = 1.1283792 + z * (-0.37612344 + z * (0.11280317 + z * (-0.026715055 + z * (0.0049217620 - z * 0.00056480599))));
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let far = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return select(far * exp(-z), 1.0 - a * near, a < 1.0);
}

fn index(group: vec3u, groups: vec3u, local: vec3u) -> u32 {
    return (group.y * groups.x + group.x) * 256u + local.x;
}

@compute @workgroup_size(256)
fn erf_form(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = index(group, groups, local);
    if i >= p.n { return; }
    let v = x[i];
    let tail = 0.5 * erfc(abs(v) * NARROW);
    y[i] = v * select(1.0 - tail, tail, v < 0.0);
}

@compute @workgroup_size(256)
fn tanh_form(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let i = index(group, groups, local);
    if i >= p.n { return; }
    let v = x[i];
    // (1 + tanh(w)) / 2 is the sigmoid of u = 2 w; the exponent is never positive, so that nothing overflows.
    let u = TANH_SCALE * (v + 0.044715 * v * v * v);
    let e = exp(-abs(u));
    y[i] = v * select(1.0, e, u < 0.0) / (1.0 + e);
}

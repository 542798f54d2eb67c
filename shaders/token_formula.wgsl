// A formula's steps on the numbers of every token; see src/kernels/token_formula.rs. One invocation a token.

struct Params { tokens: u32, steps: u32, lowest: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;       // [names, tokens]
@group(0) @binding(2) var<storage, read> code: array<vec2u>;       // [steps]: what, and its operand
@group(0) @binding(3) var<storage, read_write> scores: array<f32>; // [tokens]

// Whether a number is neither infinite nor undefined, by its bits: a shader may assume that numbers are.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// a^b and whether it exists.
fn power(a: f32, b: f32) -> vec2f {
    if b == 0.0 { return vec2f(1.0, 1.0); }
    if b == 2.0 { return vec2f(a * a, 1.0); }
    if a == 0.0 { return vec2f(0.0, select(0.0, 1.0, b > 0.0)); }
    let size = pow(abs(a), b);
    if a > 0.0 { return vec2f(size, 1.0); }
    let is_odd = floor(b * 0.5) * 2.0 != b;
    return vec2f(select(size, -size, is_odd), select(0.0, 1.0, floor(b) == b));
}

// One argument: its value and whether it exists.
fn one(what: u32, a: f32) -> vec2f {
    if what == 2u { return vec2f(-a, 1.0); }
    if what == 8u { return vec2f(abs(a), 1.0); }
    if what == 9u { return vec2f(sqrt(max(a, 0.0)), select(0.0, 1.0, a >= 0.0)); }
    if what == 10u { return vec2f(exp(min(a, 88.0)), select(0.0, 1.0, a <= 88.0)); }
    return vec2f(log(max(a, 1e-37)), select(0.0, 1.0, a >= 1e-37));
}

// Two arguments.
fn two(what: u32, a: f32, b: f32) -> vec2f {
    if what == 3u { return vec2f(a + b, 1.0); }
    if what == 4u { return vec2f(a - b, 1.0); }
    if what == 5u { return vec2f(a * b, 1.0); }
    if what == 6u { return vec2f(a / select(b, 1.0, b == 0.0), select(1.0, 0.0, b == 0.0)); }
    return power(a, b);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let token = id.x;
    if token >= p.tokens { return; }
    var stack: array<f32, 80>;
    var top = 0u; // numbers on the stack
    var exists = true;
    for (var i = 0u; i < p.steps; i++) {
        let what = code[i].x;
        let operand = code[i].y;
        var found = vec2f(0.0, 1.0);
        if what == 0u {
            found.x = bitcast<f32>(operand);
        } else if what == 1u {
            found.x = values[operand * p.tokens + token];
        } else if what == 2u || what >= 8u {
            top -= 1u;
            found = one(what, stack[top]);
        } else {
            top -= 2u;
            found = two(what, stack[top], stack[top + 1u]);
        }
        exists = exists && found.y != 0.0 && is_finite(found.x);
        stack[top] = select(0.0, found.x, exists);
        top += 1u;
    }
    scores[token] = select(p.lowest, stack[0], exists);
}

// Weights [rows, stride] at binding 1, f32 or f16 (two in a u32, low half first); stride is a multiple of 8 and
// the padding is zero. This text stands before every shader that reads weights.

override F16: bool = false;

@group(0) @binding(1) var<storage, read> weights: array<vec4u>;

struct Eight { low: vec4f, high: vec4f }

// Values at..at+8 of the storage; `at` is a multiple of 8.
fn eight(at: u32) -> Eight {
    if F16 {
        let v = weights[at >> 3u];
        return Eight(
            vec4f(unpack2x16float(v.x), unpack2x16float(v.y)),
            vec4f(unpack2x16float(v.z), unpack2x16float(v.w)),
        );
    }
    let i = at >> 2u;
    return Eight(bitcast<vec4f>(weights[i]), bitcast<vec4f>(weights[i + 1u]));
}

// Weights as small whole numbers with scales at binding 1: scales in f16, zeros where there are some, codes; see
// src/backend/blocks.rs. This text stands in place of matmul_weights.wgsl before the shaders of matmul. A row of W is
// p.w_stride inputs long, a multiple of 32.

override FOUR_BITS: bool = false;
override ZEROS: bool = false;
// Low bits of an f32 that the type of the checkpoint drops: 0 for f32, 13 for f16, 16 for bf16.
override DROPPED: u32 = 0u;

@group(0) @binding(1) var<storage, read> weights: array<vec4u>;

struct Eight { low: vec4f, high: vec4f }

fn weight_word(i: u32) -> u32 {
    return weights[i >> 2u][i & 3u];
}

// Four signed bytes of a word.
fn signed_bytes(word: u32) -> vec4f {
    return vec4f(vec4i(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}

// The low halves of the four bytes of a word.
fn half_bytes(word: u32) -> vec4f {
    return vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u));
}

// As the checkpoint would store them.
fn rounded(w: vec4f) -> vec4f {
    if DROPPED == 13u {
        return vec4f(unpack2x16float(pack2x16float(w.xy)), unpack2x16float(pack2x16float(w.zw)));
    }
    if DROPPED == 16u {
        let bits = bitcast<vec4u>(w);
        return bitcast<vec4f>((bits + 0x7fffu + ((bits >> vec4u(16u)) & vec4u(1u))) & vec4u(0xffff0000u));
    }
    return w;
}

// Weights at..at + 8 of the matrix with its rows one after the other; `at` is a multiple of 8.
fn eight(at: u32) -> Eight {
    let row = at / p.w_stride;
    let k = at % p.w_stride;
    let g = row * p.w_groups + k / p.w_group;
    let pair = unpack2x16float(weight_word(g >> 1u));
    let scale = select(pair.x, pair.y, (g & 1u) != 0u);
    var zero = select(0.0, 8.0, FOUR_BITS);
    if ZEROS { zero += signed_bytes(weight_word(p.w_zeros + (g >> 2u)))[g & 3u]; }
    if FOUR_BITS {
        // 32 inputs are four words; input i and input i + 16 share a byte.
        let word = p.w_codes + (at >> 5u) * 4u + ((k & 15u) >> 2u);
        let shift = ((k >> 4u) & 1u) * 4u;
        return Eight(
            rounded(scale * (half_bytes(weight_word(word) >> shift) - zero)),
            rounded(scale * (half_bytes(weight_word(word + 1u) >> shift) - zero)),
        );
    }
    let word = p.w_codes + (at >> 2u);
    return Eight(
        rounded(scale * (signed_bytes(weight_word(word)) - zero)),
        rounded(scale * (signed_bytes(weight_word(word + 1u)) - zero)),
    );
}

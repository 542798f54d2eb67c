// cos and sin for rotary.wgsl and rotary_append.wgsl, which it stands before.

// 2^32 / (2 pi): its integer part (a full turn is 2^32) and its fraction.
const TURN = 683565275u;
const TURN_FRACTION = 0.57644;
const TURN_F32 = 683565275.6;
const TO_RADIANS = 1.4629180793e-9; // 2 pi / 2^32

// (cos, sin) of an angle in 0..2^24 to about 1e-7. WGSL promises its own sin and cos to 2^-11, and only in
// [-pi, pi]. The angle is taken apart as bits: no compiler may then merge the product that made it into a fused
// operation, whose unrounded angle the reference does not have. Whole and fractional part become 32-bit turns,
// where wrapping takes the angle modulo 2 pi for nothing.
fn cos_sin(angle: f32) -> vec2f {
    let bits = bitcast<u32>(angle);
    let mantissa = (bits & 0x7fffffu) | 0x800000u;
    let shift = u32(clamp(150 - i32(bits >> 23u), 0, 31));
    let whole = mantissa >> shift;
    var fraction = angle;
    if whole > 0u {
        fraction = f32(mantissa - (whole << shift)) * bitcast<f32>((127u - shift) << 23u);
    }
    let turns = whole * TURN + u32(f32(whole) * TURN_FRACTION) + u32(fraction * TURN_F32);
    // The nearest quarter turn, and the rest within [-pi/4, pi/4].
    let quarter = (turns + 0x20000000u) >> 30u;
    let r = f32(bitcast<i32>(turns - (quarter << 30u))) * TO_RADIANS;
    // Minimax polynomials (Cephes sinf, cosf): |error| < 6e-8.
    let z = r * r;
    let s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
    let c = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
    switch quarter & 3u {
        case 0u: { return vec2f(c, s); }
        case 1u: { return vec2f(-s, c); }
        case 2u: { return vec2f(-c, -s); }
        default: { return vec2f(s, -c); }
    }
}

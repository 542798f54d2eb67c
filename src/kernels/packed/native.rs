//! Natively: x86-64 with AVX2, FMA and F16C (`x86`), or plain loops.

use super::Sums;
use crate::backend::Precision;
use half::f16;
use std::ops::Range;

/// Two rows of a 2:4 matrix times row `t` of x.
pub fn two_of_four(s: &Sums<'_>, pair: usize, t: usize) -> [f32; 2] {
    #[cfg(target_arch = "x86_64")]
    if crate::backend::reads_halves() {
        return super::x86::two_of_four(s, pair, t);
    }
    plain_two_of_four(s, pair, t)
}

/// One row of a bitmask matrix, whose values are `values`, times row `t` of x.
pub fn bitmask(s: &Sums<'_>, row: usize, values: Range<usize>, t: usize) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if crate::backend::reads_halves() {
        return super::x86::bitmask(s, row, values, t);
    }
    plain_bitmask(s, row, values, t)
}

fn value(s: &Sums<'_>, i: usize) -> f32 {
    match s.precision {
        Precision::F32 => f32::from_bits(s.values[i]),
        Precision::F16 => f16::from_bits((s.values[i / 2] >> (16 * (i % 2))) as u16).to_f32(),
    }
}

pub fn plain_two_of_four(s: &Sums<'_>, pair: usize, t: usize) -> [f32; 2] {
    let mut sums = [0.0; 2];
    let x = s.x(t);
    for (c, &word) in s.index(pair).iter().enumerate() {
        for lane in 0..16 {
            let input = c * 16 + lane / 4 * 4 + (word >> (2 * lane) & 3) as usize;
            sums[lane % 4 / 2] += value(s, (pair * s.chunks + c) * 16 + lane) * x[input];
        }
    }
    sums
}

pub fn plain_bitmask(s: &Sums<'_>, row: usize, values: Range<usize>, t: usize) -> f32 {
    let (mut sum, mut at) = (0.0, values.start);
    for (mut mask, x) in s.index(row).iter().copied().zip(s.x(t).chunks_exact(32)) {
        while mask != 0 {
            sum += value(s, at) * x[mask.trailing_zeros() as usize];
            mask &= mask - 1;
            at += 1;
        }
    }
    sum
}

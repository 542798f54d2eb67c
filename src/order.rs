//! Sorting by integer keys, through one compiled instance: every generic sort costs the page 2 kB.

/// Sorts keys, smallest first.
#[inline(never)]
pub fn sort(keys: &mut [u64]) {
    keys.sort_unstable();
}

/// An integer that sorts like the number; the order of `f64::total_cmp`.
pub fn key(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The number of a [`key`].
pub fn value(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// Sorts numbers, smallest first.
pub fn sort_f64(values: &mut [f64]) {
    let mut keys: Vec<u64> = values.iter().map(|v| key(*v)).collect();
    sort(&mut keys);
    for (v, k) in values.iter_mut().zip(keys) {
        *v = value(k);
    }
}

/// A key that sorts by `major`, then by `minor`.
pub fn pair(major: u32, minor: u32) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_as_total_cmp_sorts_them() {
        let mut values =
            vec![2.5, -0.0, 0.0, f64::NEG_INFINITY, -3.0, 1e-320, f64::INFINITY, -1e-320];
        let mut expected = values.clone();
        expected.sort_by(f64::total_cmp);
        sort_f64(&mut values);
        assert_eq!(format!("{values:?}"), format!("{expected:?}"));
    }
}

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

/// The key of a rank (0 is the smallest), and its rank among the keys that equal it.
///
/// By the bytes of the keys from the top: eight passes without a copy, however many keys there are.
pub fn select(keys: &[u64], rank: usize) -> (u64, usize) {
    assert!(rank < keys.len(), "rank {rank} of {} keys", keys.len());
    let (mut found, mut rank) = (0, rank);
    for shift in (0..64).step_by(8).rev() {
        let above = if shift == 56 { 0 } else { u64::MAX << (shift + 8) };
        let mut counts = [0; 256];
        for key in keys.iter().filter(|key| (**key ^ found) & above == 0) {
            counts[(key >> shift & 255) as usize] += 1;
        }
        let mut byte = 0;
        while counts[byte] <= rank {
            rank -= counts[byte];
            byte += 1;
        }
        found |= (byte as u64) << shift;
    }
    (found, rank)
}

/// Marks the `count` lowest scores; ties fall to the lower index.
pub fn mark_lowest(scores: &[f64], count: usize, mask: &mut [bool]) {
    mask.fill(false);
    if count == 0 {
        return;
    }
    let keys: Vec<u64> = scores.iter().map(|s| key(*s)).collect();
    let (last, before) = select(&keys, count - 1);
    // Of those that share the last score, the ones of the lowest index go.
    let mut ties = before + 1;
    for (marked, key) in mask.iter_mut().zip(keys) {
        let tied = key == last && ties > 0;
        ties -= usize::from(tied);
        *marked = key < last || tied;
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
    fn a_selected_key_is_the_one_a_sort_puts_there() {
        for n in [1, 2, 255, 1000] {
            // Few values, so that there are ties; some differ in the lowest byte alone.
            let number = |i: usize| (i * 37 % 23) as f64 - 11.0;
            let keys: Vec<u64> = (0..n).map(|i| key(number(i)) + (i % 3) as u64).collect();
            let mut sorted = keys.clone();
            sort(&mut sorted);
            for rank in 0..n {
                let first = sorted.partition_point(|k| *k < sorted[rank]);
                assert_eq!(select(&keys, rank), (sorted[rank], rank - first));
            }
        }
    }

    #[test]
    fn a_pair_sorts_by_its_first_number_and_then_by_its_second() {
        let sorted = [(0, 0), (0, 1), (0, u32::MAX), (1, 0), (1, 3), (2, 2), (u32::MAX, 0)];
        let keys: Vec<u64> = sorted.iter().map(|(major, minor)| pair(*major, *minor)).collect();
        assert!(keys.windows(2).all(|two| two[0] < two[1]), "{keys:?}");
    }

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

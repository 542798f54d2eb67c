//! Mamba-2's gated norm where channels go.

/// What the weights of a group of the norm, from channel `start`, are multiplied by because its mean square runs over
/// fewer channels: sqrt(mean over what stays / mean over all) of the normed squares, on average over the calibration
/// tokens. `gram` `[n, n]` sums the products of what the norm gives; `removed` has one for every n / removed.len() channels.
/// 1 where nothing goes, and where all of it does.
pub fn norm_change(norm: &[f32], start: usize, gram: &[f64], removed: &[bool]) -> f32 {
    let n = gram.len().isqrt();
    let width = n / removed.len();
    let (mut stays, mut all) = ((0.0, 0.0), (0.0, 0.0)); // sum and number
    for (j, w) in (start..).zip(norm).filter(|(_, w)| **w != 0.0) {
        let square = gram[j * n + j] / f64::from(*w).powi(2);
        all = (all.0 + square, all.1 + 1.0);
        if !removed[j / width] {
            stays = (stays.0 + square, stays.1 + 1.0);
        }
    }
    let change = (stays.0 / stays.1 / (all.0 / all.1)).sqrt();
    if change.is_finite() && removed.contains(&true) { change as f32 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::norm_change;

    #[test]
    fn the_mean_over_what_stays_takes_the_place_of_the_mean_over_all() {
        // Eight channels in two groups, a removed unit is two channels. Off the diagonal stands what must not count.
        let mut gram = vec![7.0; 64];
        let diagonal = [9.0, 9.0, 9.0, 9.0, 16.0, 2.0, 27.0, 5.0];
        (0..8).for_each(|j| gram[j * 9] = diagonal[j]);
        let removed = [false, true, false, true];
        // Second group: squares 16 / 2^2, 2 / 1, 27 / 3^2, and a weight of 0, which tells nothing: (4 + 2) / 2 over (4 + 2 + 3) / 3.
        let norm = [2.0, -1.0, 3.0, 0.0];
        assert_eq!(norm_change(&norm, 4, &gram, &removed), 1.0);
        gram[6 * 9] = 108.0; // and with 12 in place of 3: 3 over 6
        assert_eq!(norm_change(&norm, 4, &gram, &removed), 0.5f32.sqrt());
        // First group, weights of 1: 9 everywhere.
        assert_eq!(norm_change(&[1.0; 4], 0, &gram, &removed), 1.0);
        assert_eq!(norm_change(&norm, 4, &gram, &[false; 4]), 1.0, "nothing goes");
        assert_eq!(norm_change(&norm, 4, &gram, &[true; 4]), 1.0, "all goes");
    }
}

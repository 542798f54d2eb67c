//! Readers by hand: what losing everything costs, the scores of units, and damping that grows.

use super::*;
use crate::prune::tests::model::{Loaded, load};
use crate::prune::tests::{f64s, gram_of, hessian, layer};
use pollster::block_on;

/// A part that reads, for readers that need some part, and the model that it is of.
fn part() -> (Loaded, Units) {
    let loaded = load("llama-f32-gqa");
    let units = Units::of(&loaded.config, "channels").unwrap();
    (loaded, units)
}

fn linear(rows: usize, cols: usize) -> Linear {
    Linear { name: "layers.3.down".into(), layer: 3, rows, cols, by_default: true }
}

fn reader<'a>(
    units: &'a Units,
    linear: &'a Linear,
    weights: &[f32],
    (gram, damping): (&[f64], f64),
) -> Box<Reader<'a>> {
    let part = units.parts.iter().find(|p| p.reads).expect("a reader");
    let hessian = hessian(gram, linear.cols, damping);
    let (gram, rows) = (gram.to_vec(), f64s(weights));
    Box::new(Reader { part, linear, gram, hessian, before: weights.to_vec(), rows, losses: vec![] })
}

#[test]
fn losing_everything_costs_half_of_the_squared_outputs_and_of_the_damping() {
    let (_, units) = part();
    let case = layer(3, 7, 40, 9);
    let linear = linear(3, 7);
    let found = reader(&units, &linear, &case.weights, (&case.gram, 0.25)).energy();
    // ½ sum_t |W x_t|² + ½ λ |W|², from the inputs themselves.
    let outputs = case.x.chunks(7).flat_map(|x| {
        let row = move |w: &[f32]| w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
        case.weights.chunks(7).map(row)
    });
    let squares: f64 = outputs.map(|y| y * y).sum();
    let lambda = 0.25 * (0..7).map(|j| case.gram[j * 8]).sum::<f64>() / 7.0;
    let size: f64 = f64s(&case.weights).iter().map(|w| w * w).sum();
    let expected = (squares + lambda * size) / 2.0;
    assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
    let nothing = reader(&units, &linear, &[0.0; 21], (&case.gram, 0.25)).energy();
    assert!(nothing > 0.0 && nothing < 1e-300, "something to divide by: {nothing}");
}

#[test]
fn a_unit_scores_the_sum_over_its_readers_of_its_share_of_their_energy() {
    let (_, units) = part();
    let linear = linear(1, 2);
    let one = [1.0, 0.0, 0.0, 1.0];
    // Inputs of length 1, one apart from the other, not damped: the energies are 2²/2 and (4² + 4²)/2.
    let mut first = reader(&units, &linear, &[2.0, 0.0], (&one, 0.0));
    let mut second = reader(&units, &linear, &[4.0, 4.0], (&one, 0.0));
    (first.losses, second.losses) = (vec![1.0, 4.0], vec![3.0, 1.0]);
    let alone = losses(2, std::slice::from_ref(&second));
    assert_eq!(alone, [3.0, 1.0], "of one reader nothing is divided");
    assert_eq!(losses(2, &[first, second]), [0.5 + 3.0 / 16.0, 2.0 + 1.0 / 16.0]);
}

#[test]
fn damping_grows_tenfold_until_the_inputs_no_longer_matter() {
    let (_, units) = part();
    let linear = linear(1, 2);
    // The same input twice: the least damping is needed already.
    let gram = gram_of(&[1.0, 1.0], 2);
    let mut reader = reader(&units, &linear, &[1.0, 2.0], (&gram, 0.0));
    let pace = Pace::default();
    let mut damping = 1e-8;
    let error = loop {
        let inverse = {
            let diagonal = 1.0 + damping;
            let determinant = damping * (2.0 + damping); // (1 + d)² - 1
            [diagonal, -1.0, -1.0, diagonal].map(|x| x / determinant)
        };
        for (found, expected) in reader.hessian.inverse.iter().zip(inverse) {
            // The condition number is 2e8 at the least damping.
            assert!((found / expected - 1.0).abs() < 1e-7, "{damping}: {found} {expected}");
        }
        if let Err(error) = block_on(reader.raise(&pace)) {
            break error.to_string();
        }
        damping *= 10.0;
        assert!((reader.hessian.damping / damping - 1.0).abs() < 1e-12, "{damping}");
        assert!(damping < 1.1e7, "an end");
    };
    assert!(damping > 0.9e6, "{damping} is not the most");
    assert!(error.contains("layers.3.down") && error.contains("at any damping"), "{error}");
}

//! Two runs that were kept, compared on the items that they share.

use crate::eval::{Paired, Quality, Score, Verdict, evaluation_of, parse};
use crate::{Error, Result};

/// Most items of a run that are compared.
const MOST: usize = 20_000;

/// The figures of the second run minus those of the first, paired over items, without those that rest on a baseline.
/// Item by item the two must be of the same kind: the same items of the same evaluation in the same order.
///
/// Errors: an evaluation that is not known, or scores that do not belong together.
pub fn compare(evaluation: &str, first: &[Score], second: &[Score]) -> Result<Vec<Quality>> {
    let setting = parse(evaluation)?;
    let n = first.len();
    if n == 0 || n != second.len() || n > MOST {
        let found = format!("{n} and {} items", second.len());
        return Err(Error::input("runs to compare", found, "the same items in both"));
    }
    let alike = |(a, b): (&Score, &Score)| {
        a.is_sound() && b.is_sound() && std::mem::discriminant(a) == std::mem::discriminant(b)
    };
    if let Some(at) = first.iter().zip(second).position(|pair| !alike(pair)) {
        let found = format!("scores of item {} that do not fit each other", at + 1);
        return Err(Error::input("runs to compare", found, "the same items in both"));
    }
    let paired = Paired::new(first, second);
    let metrics = evaluation_of(&setting).metrics().iter().filter(|m| !m.needs_baseline());
    let figure = |metric| {
        let q = paired.figure(metric, n, "");
        let verdict = Verdict::of(&q.change, q.higher_is_better, n);
        Quality { verdict, ..q }
    };
    Ok(metrics.map(figure).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::paired_shares;

    fn answers(right: &[bool]) -> Vec<Score> {
        let of = |right: &bool| Score::Answer { nats: 1.0, tokens: 1, bytes: 2, right: *right };
        right.iter().map(of).collect()
    }

    #[test]
    fn two_runs_are_paired_item_by_item() {
        let first = answers(&[true, false, false, true, true, false, true, true, false, false]);
        let second = answers(&[true, true, true, false, true, false, true, true, true, false]);
        let found = compare("recall:n=10", &first, &second).unwrap();
        assert_eq!(found[0].metric, "accuracy");
        assert_eq!(found[0].change, paired_shares(3, 1, 10));
        assert_eq!((found[0].baseline.value, found[0].compressed.value), (0.5, 0.7));
        assert_eq!(found[0].verdict, Verdict::NotSignificant);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (ten, nine) = (answers(&[true; 10]), answers(&[true; 9]));
        assert!(compare("recall", &ten, &nine).is_err());
        assert!(compare("recall", &[], &[]).is_err());
        assert!(compare("nothing", &ten, &ten).is_err());
        let hostile = Score::Choice {
            nats: vec![1.0],
            prior: vec![],
            bytes: vec![1],
            chars: vec![1],
            chosen: 0,
            label: 7,
        };
        let one = [hostile];
        assert!(compare("continuation", &one, &one).is_err());
    }
}

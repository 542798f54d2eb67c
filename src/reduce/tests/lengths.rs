//! Lengths that follow from the number of tokens: bounds, and the progressive schedule in closed form.

use super::vectors::{mamba, setting};
use crate::config::ModelConfig;
use crate::reduce::{Schedule, check, reduces};

/// Tokens kept after each chosen layer.
fn kept(config: &ModelConfig, spec: &str, n: usize) -> Vec<usize> {
    Schedule::resolve(config, &setting(spec), n).into_iter().map(|(_, kept)| kept).collect()
}

#[test]
fn a_progressive_schedule_removes_a_share_that_grows_evenly() {
    // Of five layers the i-th, from 1, removes i / 3 times what a layer removes on average: at 0.9 of 6,000 tokens the first
    // keeps 6000 (1 - 0.1 / 3) = 5800, the next 5800 (1 - 0.2 / 3) = 5413.3, then 4872.6, 4223.3 and 3520.
    let spec = "stride:schedule=progressive,keep=0.9";
    assert_eq!(kept(&mamba(24), spec, 6000), [5800, 5414, 4873, 4224, 3520]);
    // At 0.6 the last two would remove more than half, of 2289 and 1147 tokens without the five that are guarded.
    let spec = "stride:schedule=progressive,keep=0.6";
    assert_eq!(kept(&mamba(24), spec, 6000), [5200, 3814, 2289, 1147, 576]);
}

#[test]
fn one_row_between_the_guards_stays() {
    let json =
        br#"{"model_type": "mamba", "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2,
        "state_size": 16, "conv_kernel": 16, "expand": 2}"#;
    let config = ModelConfig::parse(json).unwrap();
    // One token at the start and sixteen at the end are guarded.
    assert!(kept(&config, "stride:keep=0.5", 18).is_empty());
    assert_eq!(kept(&config, "stride:keep=0.5", 19), [18]);
}

#[test]
fn the_input_is_shortened_once_whatever_the_depth() {
    for n_layer in [1, 24] {
        let spec = "surprisal:schedule=progressive,keep=0.8";
        assert_eq!(kept(&mamba(n_layer), spec, 200), [160], "{n_layer} layers");
    }
    let error = check(&mamba(24), &setting("surprisal:cut=0.55")).unwrap_err().to_string();
    assert!(error.contains("at most 0.5 with"), "{error}");
}

#[test]
fn whether_a_context_gets_shorter_follows_from_its_length() {
    assert!(reduces(&mamba(6), &setting("utrc"), 200));
    assert!(!reduces(&mamba(6), &setting("utrc"), 10), "too short");
    assert!(!reduces(&mamba(6), &setting("utrc:cut=0"), 200), "nothing is asked for");
    // Whoever goes on hears why it cannot run.
    assert!(reduces(&mamba(6), &setting("utrc:layers=9"), 10));
}

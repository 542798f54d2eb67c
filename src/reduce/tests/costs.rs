//! What a plan costs beside the layers, and what a context saves in all, in closed form.

use super::vectors::{job, llama, mamba, setting};
use crate::config::ModelConfig;
use crate::models::flops;
use crate::reduce::{Job, method_of, savings};

/// FLOPs of the plan that takes 40 of 195 tokens after layer 3: 98 of them at even places, 97 at odd ones.
fn cost(config: &ModelConfig, spec: &str) -> f64 {
    let (job, setting) = (Job { layer: 3, ..job(195, 40) }, setting(spec));
    method_of(&setting).unwrap().flops(config, &job, &setting)
}

/// As `mamba` and `llama`, with four heads of 32.
fn mamba2() -> ModelConfig {
    let json = br#"{"model_type": "mamba2", "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 6,
        "state_size": 16, "conv_kernel": 4, "expand": 2, "head_dim": 32, "num_heads": 4, "n_groups": 2}"#;
    ModelConfig::parse(json).unwrap()
}

#[test]
fn a_plan_costs_its_products() {
    let (mamba, mamba2, llama) = (mamba(12), mamba2(), llama(12));
    // Every even place with every odd one, two for a column. Columns: 128 of a Mamba's mixer, 64 of a layer's output and
    // of a transformer's mixer and keys, 16 of B (two groups of them in the Mamba-2).
    let pairs = 2 * 98 * 97;
    // The last token's query with every key, and every query with the keys that it sees: four heads of 16 columns.
    let (row, column) = (2 * 64 * 195, 2 * 64 * (195 * 196 / 2));
    for (config, spec, expected) in [
        (&mamba, "utrc", pairs * 128),
        (&mamba, "utrc:features=hidden", pairs * 64),
        (&mamba, "utrc:features=keys", pairs * 16),
        (&llama, "utrc", pairs * 64),
        (&llama, "utrc:score=column", pairs * 64 + column),
        (&mamba, "tome", pairs * 16),
        (&mamba2, "tome", pairs * 32),
        (&mamba, "tome:features=mixer", pairs * 128),
        // A cosine is three products.
        (&mamba, "adjacent", 3 * 2 * 98 * 128),
        // 58 of the 155 that stay are left alone, or all but one.
        (&mamba, "mtr", 2 * 40 * 97 * 128),
        (&mamba, "mtr:protected=1", 2 * 40 * 128),
        (&mamba, "evit", 0),
        (&llama, "evit:score=column", column),
        (&llama, "evit-released:score=column", column),
        (&llama, "evit-released:score=row", row),
        (&llama, "lazy", row),
        (&llama, "custom:formula=row+column*2", row + column),
        (&llama, "custom:formula=clip", 0),
        (&llama, "custom:formula=row,gone=folded", row + pairs * 64),
        (&mamba, "random", 0),
    ] {
        assert_eq!(cost(config, spec), f64::from(expected), "{spec}");
    }
    // A layer of a hybrid that attends: four heads of 8 columns.
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/granite-f32-rope/config.json");
    let hybrid = ModelConfig::parse(&std::fs::read(path).unwrap()).unwrap();
    let expected = 2 * 40 * 97 * 32 + 2 * 32 * 195;
    assert_eq!(cost(&hybrid, "mtr:score=row"), f64::from(expected));
    // The rest of the layer runs over 40 tokens less: the scan, and [64, 128] of out_proj.
    let out_proj = 2 * 64 * 128;
    assert_eq!(cost(&mamba, "decimamba"), -f64::from(40 * (9 * 128 * 16 + out_proj)));
    assert_eq!(cost(&mamba2, "decimamba"), -f64::from(40 * (5 * 128 * 16 + out_proj)));
}

#[test]
fn the_total_counts_the_head_and_every_plan() {
    let (config, n) = (llama(12), 201);
    let f = flops(&config);
    let dense = f.dense(n) + f.head_per_token;
    let share = |saved: f64| saved / dense;
    for spec in [
        "tome:keep=0.8",
        "tome",
        "stride",
        "surprisal",
        "surprisal:score=random",
        "custom:formula=clip",
        "custom:formula=clip*surprisal",
    ] {
        let found = savings(&config, &setting(spec), n).unwrap();
        let saved = f.dense(n) - f.over(&found.lengths);
        assert!((found.layers - saved / f.dense(n)).abs() < 1e-12, "{spec}");
        // One token at the start and four at the end are guarded.
        let entering = found.lengths.windows(2).filter(|w| w[1] < w[0]).map(|w| w[0] - 5);
        let pairs: usize = entering.map(|rows| rows.div_ceil(2) * (rows / 2)).sum();
        let extra = match spec {
            "surprisal" | "custom:formula=clip*surprisal" => f.dense(n) + 200.0 * f.head_per_token,
            spec if spec.starts_with("tome") => (2 * pairs * 64) as f64,
            _ => 0.0,
        };
        assert!((found.total - share(saved - extra)).abs() < 1e-12, "{spec}: {found:?}");
    }
}

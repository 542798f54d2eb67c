//! What the units of an architecture are, listed by hand from its checkpoint.

use crate::config::ModelConfig;
use crate::prune::units::Units;
use std::path::Path;

fn config(name: &str) -> ModelConfig {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name);
    ModelConfig::parse(&std::fs::read(folder.join("config.json")).expect(name)).unwrap()
}

#[test]
fn every_architecture_has_the_units_of_the_table() {
    for (name, expected) in [
        ("mamba-f32", &["channels", "states"][..]),
        ("falcon-f32", &["channels"]),
        ("mamba2-f32-groups", &["channels", "heads", "states"]),
        ("llama-f32-gqa", &["channels", "heads"]),
        ("neox-f32-parallel", &["channels"]),
        ("gpt2-f32", &["channels"]),
        // Its q, k and v stand apart, but n_head * headdim has to be hidden_size.
        ("opt-f32", &["channels"]),
        // Its layers have different mixers and the same MLP.
        ("granite-f32-rope", &["channels"]),
    ] {
        let config = config(name);
        let has = |unit: &&str| Units::of(&config, unit).is_ok();
        let found: Vec<&str> = ["channels", "heads", "states"].into_iter().filter(has).collect();
        assert_eq!(found, expected, "{name}");
        // What is not there is answered with what is.
        let error = Units::of(&config, "nothing").err().expect(name).to_string();
        assert!(error.contains(&format!("{} or layers", expected.join(", "))), "{name}: {error}");
    }
}

#[test]
fn a_unit_is_cut_out_of_these_tensors_and_read_by_those() {
    // Parts of layer 1, as checkpoints call them, with their shapes; those that read the units.
    type Tensors<'a> = &'a [(&'a str, &'a [usize])];
    let cases: [(&str, &str, usize, Tensors<'_>, &[&str]); 4] = [
        (
            "llama-f32-gqa",
            "heads", // two of 8 columns for k and v, each with three of q
            2,
            &[
                ("model.layers.1.self_attn.q_proj.weight", &[48, 30]),
                ("model.layers.1.self_attn.k_proj.weight", &[16, 30]),
                ("model.layers.1.self_attn.v_proj.weight", &[16, 30]),
                ("model.layers.1.self_attn.o_proj.weight", &[30, 48]),
            ],
            &["model.layers.1.self_attn.o_proj.weight"],
        ),
        (
            "llama-f32-gqa",
            "channels",
            50,
            &[
                ("model.layers.1.mlp.gate_proj.weight", &[50, 30]),
                ("model.layers.1.mlp.up_proj.weight", &[50, 30]),
                ("model.layers.1.mlp.down_proj.weight", &[30, 50]),
            ],
            &["model.layers.1.mlp.down_proj.weight"],
        ),
        (
            "mamba2-f32-groups",
            "heads", // six of 10 channels, two groups, 12 states: B and C have 48 rows
            6,
            &[
                ("backbone.layers.1.mixer.in_proj.weight", &[60 + 60 + 48 + 6, 30]),
                ("backbone.layers.1.mixer.conv1d.weight", &[60 + 48, 1, 4]),
                ("backbone.layers.1.mixer.conv1d.bias", &[60 + 48]),
                ("backbone.layers.1.mixer.dt_bias", &[6]),
                ("backbone.layers.1.mixer.A_log", &[6]),
                ("backbone.layers.1.mixer.D", &[6]),
                ("backbone.layers.1.mixer.norm.weight", &[60]),
                ("backbone.layers.1.mixer.out_proj.weight", &[30, 60]),
            ],
            &["backbone.layers.1.mixer.out_proj.weight"],
        ),
        (
            "mamba-f32",
            "channels",
            60,
            &[
                ("backbone.layers.1.mixer.in_proj.weight", &[120, 30]),
                ("backbone.layers.1.mixer.conv1d.weight", &[60, 1, 4]),
                ("backbone.layers.1.mixer.conv1d.bias", &[60]),
                ("backbone.layers.1.mixer.x_proj.weight", &[2 + 32, 60]),
                ("backbone.layers.1.mixer.dt_proj.weight", &[60, 2]),
                ("backbone.layers.1.mixer.dt_proj.bias", &[60]),
                ("backbone.layers.1.mixer.A_log", &[60, 16]),
                ("backbone.layers.1.mixer.D", &[60]),
                ("backbone.layers.1.mixer.out_proj.weight", &[30, 60]),
            ],
            &["backbone.layers.1.mixer.x_proj.weight", "backbone.layers.1.mixer.out_proj.weight"],
        ),
    ];
    for (name, unit, count, tensors, readers) in cases {
        let units = Units::of(&config(name), unit).unwrap();
        assert_eq!(units.count, count, "{name} {unit}");
        let found: Vec<(String, &[usize])> =
            units.parts.iter().map(|p| (units.name(1, p), &p.shape[..])).collect();
        let expected: Vec<(String, &[usize])> =
            tensors.iter().map(|(name, shape)| (name.to_string(), *shape)).collect();
        assert_eq!(found, expected, "{name} {unit}");
        for (tensor, _) in tensors {
            assert_eq!(units.reads(1, tensor), readers.contains(tensor), "{name} {tensor}");
            assert!(!units.reads(0, tensor), "{tensor} is of another layer");
        }
    }
}

#[test]
fn an_mlp_whose_gate_lies_in_the_same_matrix_loses_a_row_of_each_half() {
    let mut json: serde_json::Value = serde_json::from_slice(
        &std::fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/models/granite-f32-rope/config.json"
        ))
        .unwrap(),
    )
    .unwrap();
    (json["shared_intermediate_size"], json["hidden_size"]) = (3.into(), 32.into());
    let config = ModelConfig::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
    let units = Units::of(&config, "channels").unwrap();
    let names: Vec<&str> = units.parts.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["shared_mlp.input_linear.weight", "shared_mlp.output_linear.weight"]);
    // Every row is filled with its number: three of the gate, three that it multiplies.
    let rows: Vec<f32> = (0..6).flat_map(|row| [row as f32; 32]).collect();
    let left = units.parts[0].cut(&rows, &[false, true, false]);
    assert_eq!(left.shape, [4, 32]);
    let first: Vec<f32> = left.values.chunks(32).map(|row| row[0]).collect();
    assert_eq!(first, [0.0, 2.0, 3.0, 5.0]);
    let columns = units.parts[1].cut(&[7.0, 8.0, 9.0].repeat(32), &[false, true, false]);
    assert_eq!((columns.shape, columns.values), (vec![32, 2], [7.0, 9.0].repeat(32)));
}

#[test]
fn a_smaller_mamba2_states_the_expansion_that_gives_its_width() {
    // hidden_size 30, six heads of 10 channels.
    let config = config("mamba2-f32-groups");
    let units = Units::of(&config, "heads").unwrap();
    for (kept, expand) in [(6, 2.0), (3, 1.0), (2, 20.5 / 30.0), (1, 10.5 / 30.0)] {
        let (small, fields) = units.shrink(&config, kept);
        assert_eq!(fields, [("num_heads", kept as f64), ("expand", expand)]);
        assert_eq!((expand * 30.0) as usize, 10 * kept, "int(expand * hidden_size)");
        assert_eq!(small.layers[0].mixer.width(), 10 * kept);
    }
}

//! A pruned model as files: whole or not there, the same bytes wherever the source lay, and to the bit what was measured.

use super::tiny::{Tiny, fresh, json_of, refused, texts, tiny, whittle};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use whittle::Rng;
use whittle::export::{Export, FILE, Folder, config_of_layers, config_with};
use whittle::models::{Edit, Edits, Weights};
use whittle::session::open;
use whittle::weights::{Checkpoint, Dtype};

fn name(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

/// Prunes a folder into another.
fn prune(model: &Path, spec: &str, case: &str) -> PathBuf {
    let out = fresh(case);
    let args = ["prune", "--model", name(model), "--prune", spec, "--backend", "cpu", "--out"];
    let done = whittle(&[&args[..], &[name(&out)]].concat());
    assert!(done.status.success(), "{}", texts(&done).1);
    out
}

fn read(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What stands beside a folder under unfinished names.
fn unfinished(out: &Path) -> Vec<String> {
    let parent = fs::read_dir(out.parent().expect("below target")).expect("there");
    let names = parent.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned());
    let front = format!(".{}.unfinished", out.file_name().expect("a name").to_string_lossy());
    names.filter(|name| name.starts_with(&front)).collect()
}

#[test]
fn what_is_measured_is_what_is_written_in_every_type() {
    for dtype in [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16] {
        let loaded = open(tiny(5).stored_as(dtype).files()).expect("sound");
        let changed = "model.layers.0.mlp.up_proj.weight";
        let mut rng = Rng::new(1);
        let values: Vec<f32> = (0..24 * 16).map(|_| rng.normal()).collect();
        let edit = Edit::new(&[24, 16], values);
        let edits = Edits::from([(changed.to_string(), edit)]);
        let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        let checkpoint = loaded.weights.checkpoint();
        let export =
            Export { checkpoint, edits: &edits, layers: None, form: None, metadata: &metadata };
        let mut file = Vec::new();
        export.write(&mut file).expect("room in memory");
        let written = Checkpoint::open(vec![("model.safetensors".into(), file)]).expect("sound");
        assert_eq!(written.metadata(), &metadata);
        let measured: Weights = loaded.weights.with_edits(edits.clone());
        for name in checkpoint.names() {
            let shape = checkpoint.shape(name).expect("listed");
            assert_eq!(written.dtype(name), Some(dtype), "{name}");
            let found = written.tensor(name, shape).expect("written").to_f32();
            assert_eq!(found, measured.values(name, shape).expect("there"), "{dtype} {name}");
        }
    }
}

#[test]
fn a_value_that_the_type_cannot_hold_is_an_error_that_names_the_tensor() {
    let loaded = open(tiny(5).stored_as(Dtype::F16).files()).expect("sound");
    let changed = "model.layers.1.mlp.down_proj.weight";
    let edit = Edit::new(&[16, 24], vec![70_000.0; 16 * 24]);
    let edits = Edits::from([(changed.to_string(), edit)]);
    let (checkpoint, metadata) = (loaded.weights.checkpoint(), BTreeMap::new());
    let export =
        Export { checkpoint, edits: &edits, layers: None, form: None, metadata: &metadata };
    let message = export.write(&mut Vec::new()).expect_err("too large").to_string();
    assert!([changed, "70000", "F16"].iter().all(|part| message.contains(part)), "{message}");
    // A run stops at the same place and does not measure infinities.
    let message =
        loaded.weights.with_edits(edits).values(changed, &[16, 24]).expect_err("too large");
    assert!(message.to_string().contains(changed), "{message}");
}

#[test]
fn the_same_model_and_recipe_give_the_same_bytes_wherever_they_lie() {
    let [first, second] = ["here", "there/below"].map(|place| tiny(6).folder(place));
    let [first, second] = [prune(&first, "wanda", "same-a"), prune(&second, "wanda", "same-b")];
    for file in ["model.safetensors", "config.json", "tokenizer.json", "card.md"] {
        assert!(read(first.join(file)) == read(second.join(file)), "{file}");
    }
    assert!(!String::from_utf8_lossy(&read(first.join("model.safetensors"))).contains("here"));
}

#[test]
fn settings_of_generation_and_tokenizer_travel() {
    let mut model = tiny(6);
    let travels = ["generation_config.json", "tokenizer_config.json", "special_tokens_map.json"];
    for file in travels.iter().chain(&["chat_template.jinja"]) {
        let content = format!("{{\"eos_token_id\": [1, 7], \"from\": \"{file}\"}}");
        model.files.push((file.to_string(), content.into_bytes()));
    }
    let folder = model.folder("settings");
    let out = prune(&folder, "magnitude", "settings-out");
    for (file, content) in &model.files {
        assert_eq!(&read(out.join(file)), content, "{file}");
    }
}

#[test]
fn infinities_of_a_config_stay_as_python_writes_them() {
    let json =
        br#"{"time_step_limit": [0.0, Infinity], "low": -Infinity, "name": "Infinity", "n": 3}"#;
    let text = String::from_utf8(config_with(json, &[("n", 2.0), ("new", 5.0)]).expect("JSON"));
    let text = text.expect("UTF-8").replace([' ', '\n'], "");
    let expected =
        r#"{"low":-Infinity,"n":2,"name":"Infinity","new":5,"time_step_limit":[0.0,Infinity]}"#;
    assert_eq!(text, expected);
    let json = br#"{"layer_types": ["a", "b", "c"], "limits": [0.0, Infinity, 2.0], "n": 3}"#;
    let fewer = String::from_utf8(config_of_layers(json, &[0, 2]).expect("JSON")).expect("text");
    let flat: String = fewer.split_whitespace().collect();
    assert_eq!(flat, r#"{"layer_types":["a","c"],"limits":[0.0,Infinity,2.0],"n":3}"#);
    assert!(config_with(b"[]", &[]).is_err());
    assert!(config_with(b"{}", &[("expand", 1.5)]).is_err());
}

#[test]
fn what_is_there_is_never_written_over_and_an_error_leaves_nothing() {
    let folder = tiny(6).folder("source");
    let out = fresh("taken");
    fs::create_dir_all(&out).expect("a folder");
    fs::write(out.join("mine.txt"), "mine").expect("a file");
    let args = ["prune", "--model", name(&folder), "--prune", "magnitude", "--out", name(&out)];
    refused(&args, &["--out", "does not exist yet"]);
    assert_eq!(read(out.join("mine.txt")), b"mine");

    let out = fresh("failed");
    let writing = Folder::create(&out, &["a.txt"]).expect("room");
    let failed = writing.file("a.txt", |_| Err(whittle::Error::Cancelled));
    assert!(failed.is_err() && !unfinished(&out).is_empty());
    drop(writing);
    assert!(!out.exists() && unfinished(&out).is_empty());
}

#[test]
fn of_two_writers_of_one_name_one_wins_whole() {
    for round in 0..20 {
        let out = fresh("raced");
        let write = |text: &'static str| {
            let out = out.clone();
            move || {
                let folder = Folder::create(&out, &["a.txt", "b.txt"])?;
                for file in ["a.txt", "b.txt"] {
                    let all = |w: &mut dyn std::io::Write| {
                        w.write_all(text.as_bytes())
                            .map_err(|e| whittle::Error::file(file, e.to_string()))
                    };
                    folder.file(file, all)?;
                }
                folder.finish()
            }
        };
        let writers = ["one", "two"].map(|text| std::thread::spawn(write(text)));
        let results = writers.map(|writer| writer.join().expect("no panic"));
        assert!(results.iter().any(Result::is_ok), "round {round}: {results:?}");
        let [a, b] = ["a.txt", "b.txt"].map(|file| read(out.join(file)));
        assert_eq!(a, b, "round {round}");
        assert!(unfinished(&out).is_empty(), "round {round}");
    }
}

/// Kills tried; more with WHITTLE_KILLS=NUMBER.
fn kills() -> usize {
    std::env::var("WHITTLE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
}

#[cfg(unix)]
#[test]
fn killed_at_any_moment_there_is_the_whole_model_or_none() {
    let folder = large().folder("killed-source");
    let reference = prune(&folder, "magnitude", "killed-reference");
    let files = ["model.safetensors", "config.json", "tokenizer.json", "card.md"];
    let expected = files.map(|file| read(reference.join(file)));
    let mut rng = Rng::new(4);
    let (mut whole, mut none) = (0, 0);
    let start = std::time::Instant::now();
    drop(prune(&folder, "magnitude", "killed-timing"));
    let usual = start.elapsed();
    for round in 0..kills() {
        let out = fresh("killed");
        let program = env!("CARGO_BIN_EXE_whittle");
        let args = ["prune", "--model", name(&folder), "--prune", "magnitude", "--backend", "cpu"];
        let mut command = Command::new(program);
        command.args(args).args(["--out", name(&out)]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        std::thread::sleep(usual.mul_f64(f64::from(rng.uniform()) * 1.2));
        let signal = [libc::SIGKILL, libc::SIGTERM, libc::SIGINT][round % 3];
        // SAFETY: the child is this test's own and has not been waited for.
        unsafe { libc::kill(child.id() as libc::pid_t, signal) };
        child.wait().expect("it ends");
        match out.exists() {
            true => {
                whole += 1;
                for (file, bytes) in files.iter().zip(&expected) {
                    assert!(&read(out.join(file)) == bytes, "round {round}: {file}");
                }
            }
            false => none += 1,
        }
        if signal == libc::SIGKILL {
            for left in unfinished(&out) {
                fs::remove_dir_all(out.with_file_name(left)).expect("this test's own");
            }
        }
        assert!(unfinished(&out).is_empty(), "round {round}: signal {signal}");
    }
    println!("{} kills: {whole} whole, {none} none", kills());
}

/// A model that takes some time to write.
fn large() -> Tiny {
    let mut model = tiny(6);
    let rows = 100_000;
    model.config["vocab_size"] = json!(rows);
    let bytes = Dtype::F32.encode(&vec![0.25; rows * 16]);
    model.tensors.insert("model.embed_tokens.weight".into(), ("F32", vec![rows, 16], bytes));
    model
}

/// A configuration as mamba_ssm writes it.
fn original(layer: &str) -> serde_json::Value {
    json!({
        "d_model": 32, "n_layer": 3, "vocab_size": 300, "rms_norm": true, "pad_vocab_size_multiple": 16,
        "ssm_cfg": {"layer": layer, "d_state": 8, "d_conv": 3}
    })
}

#[test]
fn a_smaller_mamba_is_written_in_either_form_and_means_the_same() {
    let folder = fresh("forms");
    fs::create_dir_all(&folder).expect("a folder below target");
    let text = folder.join("text");
    fs::write(&text, "It was a fine evening.").expect("room");
    for (number, (layer, spec)) in [
        ("Mamba1", "wanda"),
        ("Mamba1", "structured:unit=channels,share=0.3"),
        ("Mamba1", "structured:unit=layers,share=0.4"),
        ("Mamba2", "structured:unit=states,share=0.5"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut config = original(layer);
        if layer == "Mamba2" {
            config["ssm_cfg"]["headdim"] = 8.into();
        }
        let config_file = folder.join(format!("{number}.json"));
        fs::write(&config_file, config.to_string()).expect("room");
        let shape = format!("shape:{}", name(&config_file));
        let losses = [&[][..], &["--form", "hf"], &["--form", "original"]].map(|form| {
            let out = fresh(&format!("forms-{number}-{}", form.last().unwrap_or(&"own")));
            let args = ["prune", "--model", &shape, "--prune", spec, "--backend", "cpu", "--out"];
            let done = whittle(&[&args[..], &[name(&out)], form].concat());
            assert!(done.status.success(), "{spec} {form:?}: {}", texts(&done).1);
            let config: serde_json::Value =
                serde_json::from_slice(&read(out.join("config.json"))).expect("JSON");
            assert_eq!(config.get("model_type").is_some(), form.contains(&"hf"), "{config}");
            let tensors = read(out.join("model.safetensors"));
            let checkpoint = Checkpoint::open(vec![(FILE.into(), tensors)]).expect("sound");
            let is_hf = checkpoint.has("backbone.embeddings.weight");
            assert_eq!(
                (is_hf, checkpoint.has("backbone.embedding.weight")),
                (form.contains(&"hf"), !is_hf)
            );
            let args = [
                "score",
                "--model",
                name(&out),
                "--text",
                name(&text),
                "--backend",
                "cpu",
                "--json",
            ];
            json_of(&args).0["mean_nll"].as_f64().expect("a number")
        });
        assert!(
            losses.iter().all(|loss| *loss == losses[0] && loss.is_finite()),
            "{spec}: {losses:?}"
        );
    }
    let folder = tiny(5).folder("forms-llama");
    let args =
        ["prune", "--model", name(&folder), "--prune", "magnitude", "--form", "hf", "--out", "x"];
    refused(&args, &["--form", "llama", "leave --form out"]);
}

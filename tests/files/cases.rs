//! Inputs that people really have: each case is a relation, mostly "the odd folder gives the loss of the plain one".

use super::tiny::{Tiny, fresh, json_of, refused, texts, tiny, whittle};
use serde_json::json;
use std::path::Path;
use whittle::weights::Dtype;

const TEXT: &str = "It was a fine evening, and the whole party walked home together.";

/// A text of this test's own.
fn text(name: &str, content: &str) -> String {
    let folder = fresh(&format!("text-{name}"));
    std::fs::create_dir_all(&folder).expect("a folder below target");
    let path = folder.join("text.txt");
    std::fs::write(&path, content).expect("room for a text");
    path.to_string_lossy().into_owned()
}

fn name(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

/// Mean loss, and all of the output.
fn score(model: &Tiny, case: &str) -> (f64, serde_json::Value, String) {
    let folder = model.folder(case);
    let file = text(case, TEXT);
    let (out, err) = json_of(&[
        "score",
        "--model",
        name(&folder),
        "--text",
        &file,
        "--backend",
        "cpu",
        "--json",
    ]);
    (out["mean_nll"].as_f64().expect("a number"), out, err)
}

#[test]
fn values_that_are_not_finite_are_an_error_that_names_the_tensor_everywhere() {
    let up = "model.layers.1.mlp.up_proj.weight";
    let file = text("nan", TEXT);
    let mut overflows = tiny(1).stored_as(Dtype::F16);
    let (_, _, bytes) = overflows.tensors.get_mut(up).expect("there");
    bytes[..2].copy_from_slice(&0x7c00u16.to_le_bytes());
    let mut nan = tiny(1);
    nan.put(up, 0, f32::NAN);
    for (case, model, value) in [("nan", nan, "NaN"), ("inf", overflows, "inf")] {
        let folder = model.folder(case);
        let folder = name(&folder);
        let parts = ["model.safetensors", up, value, "element 0", "finite"];
        refused(&["score", "--model", folder, "--text", &file, "--backend", "cpu"], &parts);
        refused(&["generate", "--model", folder, "--prompt", "It", "--backend", "cpu"], &parts);
        refused(
            &["run", "--model", folder, "--eval", "continuation:n=4", "--backend", "cpu"],
            &parts,
        );
        let out = fresh("nan-out");
        refused(&["prune", "--model", folder, "--prune", "magnitude", "--out", name(&out)], &parts);
        assert!(!out.exists());
    }
}

#[test]
fn finite_weights_whose_values_overflow_name_the_layer() {
    let mut model = tiny(1);
    for at in 0..24 * 16 {
        model.put("model.layers.1.mlp.up_proj.weight", at, 3e38);
    }
    let folder = model.folder("overflow");
    let file = text("overflow", TEXT);
    let parts = ["not finite", "after layer 1"];
    refused(&["score", "--model", name(&folder), "--text", &file, "--backend", "cpu"], &parts);
    let out =
        whittle(&["generate", "--model", name(&folder), "--prompt", "It", "--backend", "cpu"]);
    let (_, err) = texts(&out);
    assert_eq!(out.status.code(), Some(2), "{err}");
    assert!(parts.iter().all(|part| err.contains(part)), "{err}");
}

#[test]
fn buffers_and_unused_tensors_change_no_figure_and_are_no_parameters() {
    let (plain, out, _) = score(&tiny(1), "plain");
    let parameters = out["model"]["parameters"].as_u64().expect("a number");
    // Embedding, two layers of q, o, k, v, gate, up, down and two norms, the last norm.
    let layer = 2 * 256 + 2 * 128 + 3 * 384 + 32;
    assert_eq!(parameters, 257 * 16 + 2 * layer + 16);

    let mut buffers = tiny(1);
    for layer in 0..2 {
        let at = |part: &str| format!("model.layers.{layer}.attention.{part}");
        buffers.tensors.insert(at("bias"), ("U8", vec![1, 1, 8, 8], vec![1; 64]));
        buffers.tensors.insert(at("masked_bias"), ("F16", vec![], vec![0, 0xfc]));
        buffers.tensors.insert(at("rotary_emb.inv_freq"), ("F16", vec![1], vec![0, 0x3c]));
    }
    let (loss, out, err) = score(&buffers, "buffers");
    assert_eq!((loss, out["model"]["parameters"].as_u64()), (plain, Some(parameters)));
    assert_eq!(err, "");

    let mut unused = tiny(1);
    let name_of = "model.layers.0.self_attn.q_proj.bias";
    unused.tensors.insert(name_of.into(), ("F32", vec![16], Dtype::F32.encode(&[9.0; 16])));
    let (loss, out, err) = score(&unused, "unused");
    assert_eq!((loss, out["model"]["parameters"].as_u64()), (plain, Some(parameters)));
    assert!(err.contains("1 tensors") && err.contains(name_of), "{err}");

    for (case, model) in [("buffers-out", buffers), ("unused-out", unused)] {
        let folder = model.folder(case);
        let pruned = fresh(&format!("{case}-pruned"));
        let args = ["prune", "--model", name(&folder), "--prune", "magnitude", "--backend", "cpu"];
        let done = whittle(&[&args[..], &["--out", name(&pruned)]].concat());
        assert!(done.status.success(), "{:?}", texts(&done));
        let file = text(case, TEXT);
        json_of(&[
            "score",
            "--model",
            name(&pruned),
            "--text",
            &file,
            "--backend",
            "cpu",
            "--json",
        ]);
    }
}

#[test]
fn a_tied_model_may_keep_either_name_or_both() {
    let (plain, out, _) = score(&tiny(1), "tied");
    let mut head_only = tiny(1);
    let embedding = head_only.tensors.remove("model.embed_tokens.weight").expect("there");
    head_only.tensors.insert("lm_head.weight".into(), embedding.clone());
    let (loss, _, _) = score(&head_only, "head-only");
    assert_eq!(loss, plain);
    let mut both = tiny(1);
    both.tensors.insert("lm_head.weight".into(), embedding);
    let (loss, found, _) = score(&both, "both");
    assert_eq!((loss, &found["model"]["parameters"]), (plain, &out["model"]["parameters"]));
}

#[test]
fn f64_weights_give_the_loss_of_the_same_values_in_f32() {
    let (plain, ..) = score(&tiny(1), "f32");
    let (loss, ..) = score(&tiny(1).stored_as(Dtype::F64), "f64");
    assert_eq!(loss, plain);
}

#[test]
fn a_token_beyond_the_model_is_refused_only_in_a_text_that_holds_it() {
    let (plain, ..) = score(&tiny(1), "no-pad");
    let mut pad = tiny(1);
    let token = json!({"id": 257, "content": "[PAD]", "normalized": false, "special": true});
    pad.tokenizer["added_tokens"].as_array_mut().expect("a list").push(token);
    let (loss, _, err) = score(&pad, "pad");
    assert_eq!(loss, plain);
    assert!(err.contains("258 tokens") && err.contains("257"), "{err}");
    let folder = pad.folder("pad-text");
    let file = text("pad-text", "a [PAD] b");
    let parts = ["[PAD]", "257", "vocab_size"];
    let out = whittle(&["score", "--model", name(&folder), "--text", &file, "--backend", "cpu"]);
    let (_, err) = texts(&out);
    assert_eq!(out.status.code(), Some(2));
    assert!(parts.iter().all(|part| err.contains(part)), "{err}");
}

#[test]
fn stop_tokens_of_the_generation_settings_end_a_text() {
    let written = |model: &Tiny, case: &str| {
        let folder = model.folder(case);
        let args = ["generate", "--model", name(&folder), "--prompt", "It was", "--backend", "cpu"];
        let out = whittle(&[&args[..], &["--max-tokens", "12"]].concat());
        assert!(out.status.success(), "{:?}", texts(&out));
        out.stdout["It was".len()..out.stdout.len() - 1].to_vec()
    };
    let mut model = tiny(1);
    model.config["eos_token_id"] = json!(1);
    let all = written(&model, "no-stop");
    assert!(!all.is_empty());
    let folder = model.folder("stops-ids");
    let first = first_token(&folder);
    for stops in [json!([1, first]), json!(first)] {
        let settings = json!({"eos_token_id": stops}).to_string().into_bytes();
        model.files = vec![("generation_config.json".into(), settings)];
        assert_eq!(written(&model, "stops"), b"", "{stops}");
    }
    model.files = vec![("generation_config.json".into(), br#"{"eos_token_id": [900]}"#.to_vec())];
    let folder = model.folder("stops-wrong");
    let args = ["generate", "--model", name(&folder), "--prompt", "It was"];
    refused(&args, &["generation_config.json", "eos_token_id", "900", "257"]);
}

/// The most likely token after "It was".
fn first_token(folder: &Path) -> u32 {
    let files = ["config.json", "tokenizer.json", "model.safetensors"]
        .map(|file| (file.to_string(), std::fs::read(folder.join(file)).expect("just written")));
    let loaded = whittle::session::open(files.to_vec()).expect("sound");
    let device = whittle::backend::Device::Cpu;
    let model =
        whittle::models::Model::load(&device, &loaded.config, &loaded.weights).expect("sound");
    let ids = loaded.encode("It was").expect("bytes");
    let mut state = model.start(&device);
    let hooks = &mut whittle::models::NoHooks;
    let hidden = model.forward(&device, &ids, &mut state, hooks);
    let last = hidden.row_range(ids.len() - 1, 1);
    let logits = pollster::block_on(device.read(&model.logits(&device, last))).expect("the CPU");
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).expect("a token") as u32
}

#[test]
fn a_link_of_an_own_model_says_when_the_weights_are_others() {
    let folder = |seed: u64| tiny(seed).folder(&format!("link-{seed}"));
    let (first, second) = (folder(1), folder(2));
    let run = |more: &[&str]| {
        json_of(&[&["run", "--tokens", "2", "--backend", "cpu", "--json"][..], more].concat())
    };
    let (made, err) = run(&["--model", name(&first), "--eval", "continuation:n=2,controls=0"]);
    // Of the tiny model's positions, and of nothing else.
    let is_caution =
        |text: &str| text.lines().count() == 1 && text.contains("max_position_embeddings");
    assert!(is_caution(&err), "{err}");
    let link = made["link"].as_str().expect("a link").to_string();
    let (_, same) = run(&["--link", &link, "--model", name(&first)]);
    assert!(is_caution(&same), "{same}");
    let (_, other) = run(&["--link", &link, "--model", name(&second)]);
    let hash = link.split("own@").nth(1).and_then(|rest| rest.get(..16)).expect("a hash");
    assert!(other.contains("other weights") && other.contains(hash), "{other}");
}

#[cfg(unix)]
#[test]
fn only_regular_files_that_are_needed_are_read() {
    use std::ffi::CString;
    let pipe = |path: &Path| {
        let path = CString::new(name(path)).expect("no zero byte");
        // SAFETY: the path is a valid C string for the length of the call.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    };
    let (plain, ..) = score(&tiny(1), "alone");
    let folder = tiny(1).folder("beside");
    pipe(&folder.join("consolidated.safetensors"));
    pipe(&folder.join("notes.txt"));
    // A hole of 64 GB takes no room on the disk; reading it would take all memory.
    let huge = std::fs::File::create(folder.join("original.safetensors")).expect("a file");
    huge.set_len(64 << 30).expect("a sparse file");
    let file = text("beside", TEXT);
    let args = ["score", "--model", name(&folder), "--text", &file, "--backend", "cpu", "--json"];
    let (out, _) = json_of(&args);
    assert_eq!(out["mean_nll"].as_f64(), Some(plain));

    std::fs::remove_file(folder.join("config.json")).expect("there");
    pipe(&folder.join("config.json"));
    refused(&args, &["config.json", "no regular file"]);
    std::fs::remove_file(folder.join("config.json")).expect("there");
    let large = std::fs::File::create(folder.join("config.json")).expect("a file");
    large.set_len(1 << 40).expect("a sparse file");
    refused(&args, &["config.json", "1099511627776 bytes", "at most"]);
}

#[test]
fn hostile_words_in_files_reach_no_terminal_and_flood_none() {
    let hostile = format!("\u{1b}[31m\u{202e}{}", "x".repeat(5_000_000));
    let file = text("hostile", TEXT);
    let changes: [fn(&mut Tiny, &str); 4] = [
        |model, word| model.config["hidden_act"] = json!(word),
        |model, word| model.config[word] = json!(1),
        |model, word| model.tokenizer["normalizer"] = json!({"type": word}),
        |model, word| model.files = vec![("generation_config.json".into(), word.into())],
    ];
    for (case, change) in changes.iter().enumerate() {
        let mut model = tiny(1);
        change(&mut model, &hostile);
        let folder = model.folder(&format!("hostile-{case}"));
        let out =
            whittle(&["score", "--model", name(&folder), "--text", &file, "--backend", "cpu"]);
        for stream in [&out.stdout, &out.stderr] {
            assert!(stream.len() < 5000, "case {case}: {} bytes", stream.len());
            assert!(
                !String::from_utf8_lossy(stream).contains(['\u{1b}', '\u{202e}']),
                "case {case}"
            );
        }
        assert!(!out.stderr.is_empty(), "case {case}");
    }
}

#[test]
fn bits_per_byte_divides_by_the_bytes_of_the_text_as_given() {
    let mut model = tiny(1);
    model.tokenizer["normalizer"] = json!({"type": "NFC"});
    let decomposed =
        "Cafe\u{301} re\u{301}sume\u{301} cre\u{300}me bru\u{302}le\u{301}e.\n".repeat(4);
    let folder = model.folder("nfc");
    let file = text("nfc", &decomposed);
    let (out, _) = json_of(&[
        "score",
        "--model",
        name(&folder),
        "--text",
        &file,
        "--backend",
        "cpu",
        "--json",
    ]);
    let nats: f64 = out["nll"].as_array().expect("a list").iter().filter_map(|x| x.as_f64()).sum();
    let expected = nats / std::f64::consts::LN_2 / decomposed.len() as f64;
    let found = out["bits_per_byte"].as_f64().expect("a number");
    // The sum is of f32 printed in decimal.
    assert!((found / expected - 1.0).abs() < 1e-6, "{found}, not {expected}");
}

#[test]
fn begin_of_text_goes_before_a_text_where_the_tokenizer_says_so_and_can_be_left_out() {
    let mut model = tiny(1);
    let (plain, out, _) = score(&model, "no-template");
    model.tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [256], "tokens": ["<|end|>"]}}
    });
    let (_, with, err) = score(&model, "template");
    assert!(err.contains("<|end|>") && err.contains("before a text"), "{err}");
    let ids = |out: &serde_json::Value| out["ids"].as_array().expect("a list").clone();
    assert_eq!(ids(&with), [&[json!(256)][..], &ids(&out)].concat());
    let folder = model.folder("template-off");
    let file = text("template-off", TEXT);
    let args = ["score", "--model", name(&folder), "--text", &file, "--backend", "cpu", "--json"];
    let (without, _) = json_of(&[&args[..], &["--no-bos"]].concat());
    assert_eq!(without["mean_nll"].as_f64(), Some(plain));
}

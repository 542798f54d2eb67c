//! Methods whose authors released code, against scripts that were compared with it: docs/pruning.md says how.

use super::fixture::{numbers, scripted_layer};
use super::model::{Loaded, load};
use super::*;
use crate::backend::Device;
use crate::config::Mixer;
use crate::models::{Edit, Edits, Model, NoHooks};
use crate::prune::{Pruned, Subject, prune};
use safetensors::SafeTensors;

fn stored(file: &str, name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pruning/");
    let bytes = std::fs::read(format!("{folder}{file}.safetensors")).expect(file);
    SafeTensors::deserialize(&bytes).unwrap().tensor(name).expect(name).data().to_vec()
}

#[test]
fn mask_w_in_blocks_gives_the_weights_of_thanos() {
    let expected: Vec<f32> = bytemuck::pod_collect_to_vec(&stored("thanos", "half"));
    let found = pruned(&scripted_layer(), "mrp:block=128,mask=W,threshold=block");
    assert_eq!(zeros(&found), zeros(&expected));
    let d = crate::kernels::largest_difference(&found, &expected);
    assert!(d < 1e-5, "{d:e}");
}

/// A model and the script's sequences: three of 40 tokens, and one that is held out.
fn scripted_model() -> (Loaded, Vec<Vec<u32>>) {
    let loaded = load("mamba-f32");
    let vocab_size = loaded.config.vocab_size() as f64;
    let ids = numbers(21, 160).into_iter().map(|u| ((u + 0.5) * vocab_size) as u32);
    let sequences = ids.collect::<Vec<u32>>().chunks(40).map(<[u32]>::to_vec).collect();
    (loaded, sequences)
}

fn prune_scripted(loaded: &Loaded, sequences: &[Vec<u32>], spec: &str) -> Pruned {
    let subject = Subject {
        device: &Device::Cpu,
        config: &loaded.config,
        weights: &loaded.weights,
        dense: &loaded.model,
    };
    let (pace, quiet) = (Pace::default(), &mut |_: usize, _: usize| {});
    block_on(prune(&subject, sequences, &setting(spec), &mut None, &pace, quiet)).unwrap()
}

#[test]
fn the_state_columns_that_sparsessm_takes_are_those_of_the_script() {
    let (loaded, sequences) = scripted_model();
    let found =
        prune_scripted(&loaded, &sequences, "structured:unit=states,score=sparsessm,share=0.5");
    let gone: Vec<bool> = stored("sparsessm", "columns").iter().map(|g| *g == 1).collect();
    let Mixer::Mamba(c) = &loaded.config.layers[0].mixer else { panic!("a Mamba") };
    let name = |part: &str| format!("backbone.layers.0.mixer.{part}");
    let a_log = loaded.weights.values(&name("A_log"), &[c.d_inner, c.d_state]).unwrap();
    let kept = a_log.iter().zip(gone.iter().cycle()).filter(|(_, gone)| !**gone);
    let kept: Vec<f32> = kept.map(|(a, _)| *a).collect();
    assert_eq!(found.edits[&name("A_log")].shape, [c.d_inner, c.d_state / 2]);
    assert_eq!(found.edits[&name("A_log")].values[..], kept);
    // B and C lose the same columns as rows of x_proj, dt loses none.
    let shape = [c.dt_rank + 2 * c.d_state, c.d_inner];
    let x_proj = loaded.weights.values(&name("x_proj.weight"), &shape).unwrap();
    let rows = x_proj
        .chunks(c.d_inner)
        .enumerate()
        .filter(|(row, _)| *row < c.dt_rank || !gone[(row - c.dt_rank) % c.d_state]);
    let rows: Vec<f32> = rows.flat_map(|(_, row)| row).copied().collect();
    assert_eq!(found.edits[&name("x_proj.weight")].values[..], rows);
}

#[test]
fn the_ratios_of_sparsessm_move_in_proj_and_out_proj_only_and_keep_the_zeros() {
    let (loaded, sequences) = scripted_model();
    let found = prune_scripted(&loaded, &sequences, "wanda:sparsity=0.5,ratios=sparsessm");
    // Two layers: half of alpha up and down.
    for (part, moved) in [("in_proj", 0.04), ("out_proj", 0.04), ("x_proj", 0.0)] {
        let lines = found.report.iter().filter(|line| line.name.contains(part));
        let mut asked: Vec<f64> = lines.map(|line| line.requested).collect();
        asked.sort_by(f64::total_cmp);
        let far = asked.iter().zip([0.5 - moved, 0.5 + moved]).map(|(a, b)| (a - b).abs());
        assert!(far.into_iter().all(|d| d < 1e-9) && asked.len() == 2, "{part} {asked:?}");
    }
    let error = load("llama-f32-gqa").prune("wanda:ratios=sparsessm", &mut None).err().unwrap();
    assert!(error.to_string().contains("in_proj"), "{error}");
}

#[test]
fn sparsessm_removes_the_entries_of_the_script() {
    let (loaded, sequences) = scripted_model();
    for (spec, name) in [("sparsessm:layers=0", "half"), ("sparsessm:pattern=2:4,layers=0", "nm")] {
        for (removed, value) in [("memory", 40.0), ("rate", 0.0)] {
            let found = prune_scripted(&loaded, &sequences, &format!("{spec},removed={removed}"));
            let (edit, line) = (found.edits.values().next().unwrap(), &found.report[0]);
            let before = loaded.weights.values(&line.name, &edit.shape).unwrap();
            for ((after, before), gone) in
                edit.values.iter().zip(&before).zip(stored("sparsessm", name))
            {
                let expected = if gone == 1 { value } else { *before };
                assert_eq!(*after, expected, "{spec} {removed}");
            }
            let shares = (line.requested, line.achieved);
            assert_eq!((found.edits.len(), shares), (1, (0.5, 0.5)), "{spec}");
            assert!(line.error > 0.0 && line.error < 1.0, "{spec}: {}", line.error);
        }
    }
}

#[test]
fn an_entry_without_memory_forgets_and_one_of_rate_one_does_not() {
    let loaded = load("mamba-f32");
    let device = Device::Cpu;
    let name = "backbone.layers.0.mixer.A_log";
    let shape = loaded.weights.checkpoint().shape(name).unwrap().to_vec();
    let last_row = |a_log: f32, first: u32| {
        let values = vec![a_log; shape.iter().product()];
        let edits = Edits::from([(name.to_string(), Edit::new(&shape, values))]);
        let weights = loaded.weights.with_edits(edits);
        let model = Model::load(&device, &loaded.config, &weights).unwrap();
        // Ten tokens: the convolution reaches back four.
        let rows = model.embed(&device, &[first, 4, 1, 5, 9, 2, 6, 5, 3, 5]);
        let out = model.run_layer(&device, 0, rows, &mut NoHooks);
        out.cpu()[9 * out.cols()..].to_vec()
    };
    assert_eq!(last_row(40.0, 7), last_row(40.0, 8));
    assert_ne!(last_row(0.0, 7), last_row(0.0, 8));
}

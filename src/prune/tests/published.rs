//! Methods whose authors released code, against scripts that were compared with it: docs/pruning.md says how.

use super::fixture::{numbers, scripted_layer};
use super::model::load;
use super::*;
use crate::backend::Device;
use crate::models::{Edit, Edits, Model, NoHooks};
use crate::prune::{Subject, prune};
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

#[test]
fn sparsessm_removes_the_entries_of_the_script() {
    let loaded = load("mamba-f32");
    let vocab_size = loaded.config.vocab_size();
    // Three sequences of 40 tokens, and one that is held out.
    let ids = numbers(21, 160).into_iter().map(|u| ((u + 0.5) * vocab_size as f64) as u32);
    let sequences: Vec<Vec<u32>> =
        ids.collect::<Vec<u32>>().chunks(40).map(<[u32]>::to_vec).collect();
    for (spec, name) in [("sparsessm:layers=0", "half"), ("sparsessm:pattern=2:4,layers=0", "nm")] {
        for (removed, value) in [("memory", 40.0), ("rate", 0.0)] {
            let setting = setting(&format!("{spec},removed={removed}"));
            let subject = Subject {
                device: &Device::Cpu,
                config: &loaded.config,
                weights: &loaded.weights,
                dense: &loaded.model,
            };
            let (pace, cache) = (Pace::default(), &mut None);
            let quiet = &mut |_: usize, _: usize| {};
            let work = prune(&subject, &sequences, &setting, cache, &pace, quiet);
            let found = block_on(work).unwrap();
            let (edit, line) = (found.edits.values().next().unwrap(), &found.report[0]);
            let before = loaded.weights.values(&line.name, &edit.shape).unwrap();
            for ((after, before), gone) in
                edit.values.iter().zip(&before).zip(stored("sparsessm", name))
            {
                let expected = if gone == 1 { value } else { *before };
                assert_eq!(*after, expected, "{spec} {removed}");
            }
            assert_eq!((found.edits.len(), line.achieved), (1, 0.5), "{spec}");
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

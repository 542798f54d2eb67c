//! Round-to-nearest and GPTQ against training/make_quantised_fixture.py, and what every quantisation keeps.
//!
//! The released code of SparseGPT (its `wbits` path) gives the script's codes: docs/pruning.md says how it was run.

use super::fixture::scripted_layer;
use super::model::{MODELS, load, sequences};
use super::*;
use crate::backend::{Blocks, Device};
use crate::models::{Execution, Model, NoHooks, linears};
use safetensors::SafeTensors;

/// Weights and their whole numbers.
fn quantised(layer: &Layer, spec: &str) -> (Vec<f32>, Blocks) {
    let (weights, blocks) = pruned_with_blocks(layer, spec);
    (weights, blocks.expect(spec))
}

fn codes_that_differ(found: &Blocks, stored: &SafeTensors<'_>, name: &str) -> usize {
    let tensor = |part: &str| stored.tensor(&format!("{name}.{part}")).expect(name).data().to_vec();
    let centre = i32::from(found.bits.most() / 2 + 1);
    let scales: Vec<u8> = found.scales.iter().flat_map(|s| s.to_le_bytes()).collect();
    assert_eq!(scales, tensor("scales"), "{name}");
    let zeros: Vec<i32> = tensor("zeros").iter().map(|z| i32::from(*z) - centre).collect();
    match found.zeros.is_empty() {
        true => assert!(zeros.iter().all(|z| *z == 0), "{name}"),
        false => assert_eq!(found.zeros.iter().map(|z| i32::from(*z)).collect::<Vec<_>>(), zeros),
    }
    let codes = tensor("codes");
    assert_eq!(codes.len(), found.codes.len(), "{name}");
    codes
        .iter()
        .zip(&found.codes)
        .filter(|(e, f)| i32::from(**e) - centre != i32::from(**f))
        .count()
}

#[test]
fn codes_and_scales_are_those_of_the_script() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pruning/quantised.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let case = scripted_layer();
    // The authors' threshold takes one weight more than half of a block.
    let shared = format!("gptq:group=row,threshold=block,sparsity={}", 4097.0 / 8192.0);
    for (spec, name) in [
        ("rtn:group=row", "rtn_4_row"),
        ("rtn:grid=range", "rtn_4_64_range"),
        ("gptq:bits=8,group=row", "gptq_8_row"),
        ("gptq:group=row", "gptq_4_row"),
        ("gptq:group=row,grid=range", "gptq_4_row_range"),
        ("gptq:group=32", "gptq_4_32"),
        ("gptq:group=128,grid=range", "gptq_4_128_range"),
        ("gptq:group=row,sparsity=0.5", "joint_4_row_half"),
        (&shared, "joint_4_row_shared"),
        ("gptq:bits=8,pattern=2:4", "joint_8_64_2_4"),
    ] {
        let (_, found) = quantised(&case, spec);
        assert_eq!(codes_that_differ(&found, &stored, name), 0, "{spec}");
    }
}

/// Every kind of grid.
fn grids() -> Vec<String> {
    let groups = ["row", "32", "64", "128"];
    let all = groups.into_iter().flat_map(|group| {
        ["symmetric", "range"].into_iter().flat_map(move |grid| {
            [4, 8].map(|bits| format!("bits={bits},group={group},grid={grid}"))
        })
    });
    all.collect()
}

#[test]
fn weights_are_their_codes_times_their_scales_to_the_bit() {
    let case = layer(70, 150, 400, 81);
    for grid in grids() {
        for spec in [format!("rtn:{grid}"), format!("gptq:{grid},block=32")] {
            let (weights, blocks) = quantised(&case, &spec);
            assert_eq!(blocks.to_f32(), weights, "{spec}");
        }
    }
}

#[test]
fn inputs_that_are_independent_leave_nothing_to_take_over() {
    let n = 96;
    let mut gram = vec![0.0; n * n];
    (0..n).for_each(|j| gram[j * n + j] = 1.0 + j as f64);
    let case = Layer { gram, ..layer(6, n, 1, 82) };
    for grid in grids() {
        let expected = pruned(&case, &format!("rtn:{grid}"));
        assert_eq!(pruned(&case, &format!("gptq:{grid}")), expected, "{grid}");
    }
}

#[test]
fn removed_weights_are_zeros_of_the_grid_and_as_many_as_asked_for() {
    let n = 128;
    let case = layer(8, n, 400, 83);
    for pattern in ["sparsity=0.5", "sparsity=0.3", "pattern=2:4", "pattern=4:8"] {
        for grid in ["bits=8,group=32", "bits=8,group=row,grid=range"] {
            let after = pruned(&case, &format!("gptq:{pattern},{grid}"));
            let expected = pattern_of(&format!("sparsegpt:{pattern}")).quota(0, n);
            for row in after.chunks(n) {
                // Rounding gives zeros of its own.
                let found = zeros(row).iter().filter(|z| **z).count();
                assert!(found >= expected && found <= expected + 12, "{pattern} {grid}: {found}");
            }
        }
    }
}

#[test]
fn finer_grids_and_making_up_for_them_lose_less() {
    let n = 128;
    let case = layer(24, n, 500, 84);
    let h = hessian(&case.gram, n, 0.01);
    let lost = |spec: &str| -> f64 {
        let after = pruned(&case, spec);
        case.weights.chunks(n).zip(after.chunks(n)).map(|(b, a)| loss(&h, b, a)).sum()
    };
    let [rtn4, rtn8, gptq4, fine] =
        ["rtn:group=row", "rtn:group=row,bits=8", "gptq:group=row", "rtn:group=32"].map(lost);
    // No theorem for one matrix, but 17 times finer steps and 3,072 weights leave no doubt.
    assert!(
        rtn8 * 100.0 < rtn4 && gptq4 * 1.5 < rtn4 && fine < rtn4,
        "{rtn4} {rtn8} {gptq4} {fine}"
    );
}

#[test]
fn quantised_models_compute_what_their_dequantised_weights_do() {
    let device = Device::Cpu;
    for name in MODELS {
        let loaded = load(name);
        for spec in ["rtn:bits=8,group=row", "gptq:bits=4,group=32,grid=range"] {
            let found = loaded.prune(spec, &mut None).unwrap();
            let asked: Vec<f64> = found.report.iter().map(|m| m.requested).collect();
            assert!(asked.iter().all(|share| *share == 0.0), "{name} {spec}: {asked:?}");
            let weights =
                |execution| loaded.weights.with_edits(found.edits.clone()).executed(execution);
            let sides = [Execution::Dense, Execution::Packed].map(weights);
            let models = [0, 1].map(|i| Model::load(&device, &loaded.config, &sides[i]).unwrap());
            let mut fewer = 0;
            for linear in linears(&loaded.config).iter().filter(|l| l.by_default) {
                let [dense, packed] = [0, 1].map(|i| sides[i].loaded(&linear.name).unwrap());
                assert!(dense.blocks().is_none(), "{name} {spec}");
                fewer += usize::from(packed.bytes_per_token() < dense.bytes_per_token());
            }
            assert!(fewer > 0, "{name} {spec}: no matrix takes fewer bytes");
            let ids = &sequences(1, 20, loaded.config.vocab_size())[0];
            let [a, b] = [0, 1].map(|i| {
                let mut state = models[i].start(&device);
                models[i].forward(&device, ids, &mut state, &mut NoHooks).cpu().to_vec()
            });
            let d = crate::kernels::largest_difference(&a, &b);
            // The same weights to the bit; a matrix in f32 is not multiplied in blocks of outputs otherwise.
            assert!(d < 1e-5, "{name} {spec}: a context at once: {d}");
            let [a, b] = [0, 1].map(|i| {
                let mut state = models[i].start(&device);
                let steps = ids.chunks(1);
                let rows = steps.map(|id| models[i].forward(&device, id, &mut state, &mut NoHooks));
                rows.flat_map(|row| row.cpu().to_vec()).collect::<Vec<f32>>()
            });
            let d = crate::kernels::largest_difference(&a, &b);
            // Inputs are rounded to 16 bits of the largest in 32, in every layer.
            assert!(d < 2e-3 && d > 0.0, "{name} {spec}: {d}");
        }
    }
}

//! What a selection is made from: features of the tokens, or what is drawn at random.

use super::vectors::{devices, ids, job, mamba, setting, with_output};
use crate::backend::Device;
use crate::models::{Hooks, LayerOutput, MixerInputs, SsmInputs};
use crate::reduce::{Job, Reducer, TokenReduction, method_of, tome::Tome};
use pollster::block_on;

#[test]
fn tokens_are_compared_by_what_the_setting_names() {
    for device in devices() {
        // 0 and 1 have one direction, 2 and 5 too, 4 is nearly that of 3; and others that match 0 and 3, 2 and 1, 4 and 3.
        let rows = [1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.1, 0.0, 5.0];
        let others = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        let (x, other) = (device.tensor(6, 2, &rows), device.tensor(6, 2, &others));
        for (name, is_ssm) in [("mixer", true), ("hidden", true), ("keys", true), ("keys", false)] {
            let pick = |of: &str| if of == name { &x } else { &other };
            let spec = setting(&format!("tome:features={name}"));
            let plan = with_output(&device, pick("keys"), 0, is_ssm, |output| {
                let inputs = match output.inputs {
                    MixerInputs::Ssm(s) => MixerInputs::Ssm(SsmInputs { b: s.x, ..s }),
                    attention => attention,
                };
                let (hidden, mixer) = (pick("hidden"), pick("mixer"));
                let output = LayerOutput { hidden, mixer, inputs, ..output };
                Tome.plan(&device, &output, &job(6, 3), &spec)
            });
            assert_eq!(
                ids(&device, &plan),
                (vec![1, 3, 5], vec![0, 2, 4], vec![1, 5, 3]),
                "{name}"
            );
        }
    }
}

#[test]
fn random_draws_anew_for_every_seed_layer_and_context() {
    let device = Device::Cpu;
    let kept_of = |seed: u32, layer: usize, ids: &[u32]| {
        let spec = setting(&format!("random:seed={seed},keep=0.8,layers={layer}"));
        let reducer = Reducer::new(&mamba(6), &spec, ids.len()).unwrap();
        let x = device.zeros(ids.len(), 2);
        let reduced = with_output(&device, &x, layer, true, |output| {
            reducer.with_salt_of(ids).reduce(&device, output)
        });
        block_on(device.read_ids(&reduced.unwrap().keep)).unwrap()
    };
    let zeros = vec![0; 200];
    let mut one = zeros.clone();
    one[0] = 1;
    let first = kept_of(1, 2, &zeros);
    assert_eq!(first, kept_of(1, 2, &zeros));
    for other in [kept_of(2, 2, &zeros), kept_of(1, 3, &zeros), kept_of(1, 2, &one)] {
        assert_ne!(first, other);
    }
    // Whatever the context is mixed to.
    for salt in [0, u64::MAX] {
        let drawn = |spec: &str, layer| {
            let (x, spec) = (device.zeros(200, 2), setting(spec));
            let job = Job { salt, ..job(200, 40) };
            let method = method_of(&spec).unwrap();
            let plan = with_output(&device, &x, layer, true, |output| {
                method.plan(&device, &output, &job, &spec)
            });
            block_on(device.read_ids(&plan.keep)).unwrap()
        };
        assert_ne!(drawn("random", 2), drawn("random", 3));
        assert_ne!(drawn("random", 2), drawn("random:seed=2", 2));
        assert_ne!(drawn("evit:score=random", 2), drawn("evit:score=random", 3));
    }
}

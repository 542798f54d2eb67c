//! Every kernel's shader against its CPU form, on whatever adapter is there (lavapipe on a plain machine).
#![cfg(not(target_arch = "wasm32"))]

use whittle::backend::{Device, gpu_for_tests};
use whittle::kernels::{cases, largest_difference};

#[test]
fn every_shader_agrees_with_its_cpu_form() {
    let Some(gpu) = gpu_for_tests() else { return };
    println!("on {}", gpu.label());
    let mut failures = Vec::new();
    for case in cases() {
        let expected = (case.run)(&Device::Cpu);
        let found = (case.run)(&gpu);
        assert_eq!(expected.len(), found.len(), "{}", case.name);
        for (i, (e, f)) in expected.iter().zip(&found).enumerate() {
            assert_eq!((e.rows(), e.cols()), (f.rows(), f.cols()), "{} output {i}", case.name);
            match pollster::block_on(gpu.read(f)) {
                Ok(values) => {
                    let d = largest_difference(&values, e.cpu());
                    if d.is_nan() || d > case.tolerance {
                        failures.push(format!(
                            "{} output {i}: {d:e} > {:e}",
                            case.name, case.tolerance
                        ));
                    }
                }
                Err(e) => failures.push(format!("{}: {e}", case.name)),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

//! What happens to recorded work when a GPU cannot do it, or goes away first.

use super::add::add;
use crate::backend::{Device, Tensor, gpu_for_tests};

#[test]
fn a_tensor_over_the_binding_limit_is_an_error_that_names_both_sizes() {
    let Some(device) = gpu_for_tests() else { return };
    let Device::Gpu(gpu) = &device else { unreachable!("it is a GPU") };
    let most = gpu.binding_limit() as usize;
    if most > 1 << 28 {
        return println!("skipped: this adapter binds {most} bytes, too many for a test");
    }
    let cols = most / 4 + 1024;
    let x = Tensor::on_gpu(1, cols, gpu.alloc(cols * 4));
    let y = add(&device, x.columns(0, 4), x.columns(4, 4));
    let problem = pollster::block_on(device.read(&y)).unwrap_err().to_string();
    assert!(problem.contains("binds at once") && problem.contains("MB"), "{problem}");
    // The device goes on.
    let one = device.tensor(1, 1, &[1.0]);
    let two = pollster::block_on(device.read(&add(&device, &one, &one))).unwrap();
    assert_eq!(two, [2.0]);
}

#[test]
fn a_device_with_recorded_work_is_dropped_without_a_panic() {
    let Some(device) = gpu_for_tests() else { return };
    let one = device.tensor(1, 1, &[1.0]);
    drop(add(&device, &one, &one));
    drop((one, device));
}

#[test]
fn no_bind_group_holds_what_was_dropped_for_good() {
    let Some(device) = gpu_for_tests() else { return };
    let Device::Gpu(gpu) = &device else { unreachable!("it is a GPU") };
    let weights = device.tensor(512, 1024, &[1.0; 512 * 1024]);
    let id = weights.gpu().id();
    add(&device, &weights, &weights);
    assert_eq!(gpu.groups_of(id), 1);
    drop(weights);
    let small = device.tensor(1, 1, &[1.0]);
    add(&device, &small, &small);
    assert_eq!(gpu.groups_of(id), 0);
}

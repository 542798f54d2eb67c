//! Which form of products of many rows an adapter is given: each is timed on the same product, once in the life of a
//! device. Whoever has a place for it keeps what was found ([`take`]).
//!
//! Another form than the first is taken only where it gives the values of the first and is clearly faster.

use super::{MANY_ROWS, MatmulJob};
use crate::backend::gpu::Gpu;
use crate::backend::{Device, Tensor, WeightValues};
use crate::kernels::largest_difference;
use crate::kernels::rows::copy;
use crate::pace::now_ms;
use crate::{Result, Rng};
use half::f16;

/// Sizes of the product, as in a small model: 0.5 GFLOP, a millisecond for a GPU of a laptop.
const ROWS: usize = 512;
const OUTS: usize = 2048;
const DEPTH: usize = 256;
/// Products of one timing of every form, in turns, of which the shortest counts; and milliseconds after which no further
/// turn is begun: a slow adapter is asked once.
const LAUNCHES: [usize; 3] = [1, 4, 4];
const ENOUGH_MS: f64 = 60.0;
/// A form is clearly faster below this share of the first one's time: what a clock that is changed from one moment to
/// the next gives is not.
const CLEARLY: f64 = 0.9;
/// Sums of 256 products of numbers below 1 in another order.
const TOLERANCE: f32 = 1e-3;

/// What was found about one form.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// As [`chosen`] names it.
    pub form: &'static str,
    /// Of one product of `[512, 256]` by `[2048, 256]` in f16.
    pub ms: f64,
    /// The largest from the values of the first form.
    pub difference: f32,
}

/// Times every form and takes the fastest from now on. Errors: as [`Gpu::read`]; the form stays as it was.
pub async fn probe(gpu: &std::rc::Rc<Gpu>) -> Result<Vec<Timing>> {
    let device = Device::Gpu(gpu.clone());
    let mut rng = Rng::new(12);
    let mut values = |n: usize| (0..n).map(|_| rng.uniform() - 0.5).collect::<Vec<f32>>();
    let x = device.tensor(ROWS, DEPTH, &values(ROWS * DEPTH));
    let weights: Vec<f16> = values(OUTS * DEPTH).into_iter().map(f16::from_f32).collect();
    let w = device.matrix(OUTS, DEPTH, WeightValues::F16(&weights));
    let product = |form| MatmulJob::new(x.view(), &w, None, None).on_gpu(gpu, form);
    let mut expected = Vec::new();
    let mut found = Vec::new();
    for &(form, name) in MANY_ROWS {
        // Its pipeline is made here, outside of what is timed.
        let values = some_of(&device, &product(form)).await?;
        if expected.is_empty() {
            expected.clone_from(&values);
        }
        let difference = largest_difference(&values, &expected);
        found.push(Timing { form: name, ms: f64::INFINITY, difference });
    }
    let begin = now_ms();
    for launches in LAUNCHES {
        for ((form, _), timing) in MANY_ROWS.iter().zip(&mut found) {
            timing.ms = timing.ms.min(time(gpu, launches, || drop(product(*form))).await?);
        }
        if now_ms() - begin > ENOUGH_MS {
            break;
        }
    }
    choose(gpu, fastest(&found));
    Ok(found)
}

/// Rows in two corners of a result.
async fn some_of(device: &Device, y: &Tensor) -> Result<Vec<f32>> {
    let parts = [0, ROWS - 8].map(|row| copy(device, y.row_range(row, 8)));
    let mut values = device.read(&parts[0]).await?;
    values.extend(device.read(&parts[1]).await?);
    Ok(values)
}

/// Milliseconds of one product, by the GPU's clock where it has one.
async fn time(gpu: &Gpu, launches: usize, record: impl Fn()) -> Result<f64> {
    let start = now_ms();
    let ms = gpu.device_ms(|| (0..launches).for_each(|_| record())).await?;
    Ok(ms.unwrap_or_else(|| now_ms() - start) / launches as f64)
}

/// The number of the form to take.
fn fastest(found: &[Timing]) -> usize {
    let mut best = (0, CLEARLY * found[0].ms);
    for (number, timing) in found.iter().enumerate().skip(1) {
        if timing.difference <= TOLERANCE && timing.ms < best.1 {
            best = (number, timing.ms);
        }
    }
    best.0
}

fn choose(gpu: &Gpu, number: usize) {
    // Of the first one nothing is said: it is what a card gets that nobody has asked.
    gpu.choose(number, if number == 0 { "" } else { MANY_ROWS[number].1 });
}

/// The name of the form that a GPU is given.
pub fn chosen(gpu: &Gpu) -> &'static str {
    MANY_ROWS[gpu.choice().0].1
}

/// Gives a GPU the form of this name from now on; whether there is one.
pub fn take(gpu: &Gpu, name: &str) -> bool {
    let number = MANY_ROWS.iter().position(|(_, known)| *known == name);
    number.inspect(|&number| choose(gpu, number)).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::MatmulForm;
    use super::*;
    use crate::backend::gpu_for_tests;

    fn timing(ms: f64, difference: f32) -> Timing {
        Timing { form: "", ms, difference }
    }

    #[test]
    fn a_form_is_taken_that_is_clearly_faster_and_right() {
        assert_eq!(fastest(&[timing(1.0, 0.0), timing(0.95, 0.0), timing(2.0, 0.0)]), 0);
        assert_eq!(fastest(&[timing(1.0, 0.0), timing(0.8, 0.0), timing(0.7, 0.0)]), 2);
        assert_eq!(fastest(&[timing(1.0, 0.0), timing(0.8, 0.0), timing(0.7, 0.5)]), 1);
        assert_eq!(fastest(&[timing(1.0, 0.0), timing(0.8, f32::INFINITY)]), 0);
    }

    #[test]
    fn every_form_is_timed_gives_the_same_values_and_can_be_named() {
        let Some(Device::Gpu(gpu)) = gpu_for_tests() else { return };
        assert_eq!((gpu.choice(), chosen(&gpu)), ((0, ""), MANY_ROWS[0].1));
        let found = pollster::block_on(probe(&gpu)).expect("a probe");
        println!("{}: {found:?}", gpu.label());
        assert_eq!(found.len(), MANY_ROWS.len());
        for timing in &found {
            assert!(timing.ms > 0.0 && timing.ms.is_finite(), "{timing:?}");
            assert!(timing.difference <= TOLERANCE, "{timing:?}");
        }
        assert_eq!(gpu.choice().0, fastest(&found));
        let name_each = |&(_, name): &(MatmulForm, &'static str)| {
            assert!(take(&gpu, name) && chosen(&gpu) == name, "{name}");
            gpu.label()
        };
        let plain: Vec<String> = MANY_ROWS.iter().map(name_each).collect();
        assert!(plain[1].contains(MANY_ROWS[1].1), "{plain:?}");
        assert!(!plain[0].contains(MANY_ROWS[0].1), "{plain:?}");
        assert!(!take(&gpu, "no such form") && gpu.choice().0 == 3);
    }

    #[test]
    fn a_product_of_many_rows_takes_the_form_that_was_chosen() {
        let Some(Device::Gpu(gpu)) = gpu_for_tests() else { return };
        gpu.pass_for_hardware();
        let device = Device::Gpu(gpu.clone());
        let x = device.zeros(33, 8);
        let w = device.matrix(9, 8, WeightValues::F32(&[0.0; 72]));
        let job = MatmulJob::new(x.view(), &w, None, None);
        for &(form, name) in MANY_ROWS {
            assert!(take(&gpu, name));
            assert_eq!(job.form(&gpu), form);
        }
        let few = device.zeros(32, 8);
        let job = MatmulJob::new(few.view(), &w, None, None);
        assert_eq!(job.form(&gpu), MatmulForm::MatvecShared);
    }
}

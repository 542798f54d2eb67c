//! Laws that every method keeps, checked on correlated random inputs.

mod damping;
#[cfg(not(target_arch = "wasm32"))]
mod device;
mod fixture;
mod followed;
mod forms;
mod golden;
mod laws;
pub mod model;
mod published;
mod quantised;
mod ratios;
mod scans;
mod seen;
mod structured;
mod units;

use super::by_matrix::{ByMatrix, HostInputs, MatrixJob, Needs};
use super::hessian::Hessian;
use super::outcome::Outcome;
use super::pattern::Pattern;
use super::refit::RefitWay;
use super::{METHODS, abouts, method_of};
use crate::Rng;
use crate::backend::Blocks;
use crate::method::Setting;
use crate::pace::Pace;
use pollster::block_on;
use std::rc::Rc;

/// A matrix and what it is fed.
pub struct Layer {
    pub n: usize,
    pub weights: Vec<f32>, // [rows, n]
    pub x: Vec<f64>,       // [tokens, n]
    pub gram: Vec<f64>,    // [n, n]
}

/// Inputs with a shared part and scales from 0.1 to 10, so that neighbours are correlated and unequal.
pub fn layer(rows: usize, n: usize, tokens: usize, seed: u64) -> Layer {
    let mut rng = Rng::new(seed);
    let scales: Vec<f32> = (0..n).map(|_| 10f32.powf(rng.uniform() * 2.0 - 1.0)).collect();
    let mut x = Vec::new();
    for _ in 0..tokens {
        let shared = rng.normals(4, 1.0);
        for (j, scale) in scales.iter().enumerate() {
            x.push(f64::from(scale * (rng.normal() + 1.5 * shared[j % 4] + shared[j * 7 % 3])));
        }
    }
    let weights = rng.normals(rows * n, 1.0);
    Layer { n, weights, gram: gram_of(&x, n), x }
}

pub fn gram_of(x: &[f64], n: usize) -> Vec<f64> {
    let mut gram = vec![0.0; n * n];
    for row in x.chunks(n) {
        for i in 0..n {
            for j in 0..n {
                gram[i * n + j] += row[i] * row[j];
            }
        }
    }
    gram
}

pub fn setting(spec: &str) -> Setting {
    Setting::parse(spec, &abouts()).expect(spec).expect("a method")
}

/// The method of a setting, which works on one matrix after the other.
pub fn by_matrix(setting: &Setting) -> &'static dyn ByMatrix {
    method_of(setting).unwrap().by_matrix().expect("a method that works by matrix")
}

/// The Hessian with its inverse.
pub fn hessian(gram: &[f64], n: usize, damping: f64) -> Hessian {
    block_on(async {
        let mut h = Hessian::new(gram, n, damping, &Pace::default()).await.unwrap();
        h.invert(&Pace::default()).await.unwrap();
        h
    })
}

/// Prunes with 1 % damping.
pub fn pruned(layer: &Layer, spec: &str) -> Vec<f32> {
    pruned_with_blocks(layer, spec).0
}

/// The same with the whole numbers of a quantisation.
pub fn pruned_with_blocks(layer: &Layer, spec: &str) -> (Vec<f32>, Option<Blocks>) {
    let setting = setting(spec);
    let method = by_matrix(&setting);
    let n = layer.n;
    let needs = method.needs(&setting, n);
    let square_sums = match needs {
        Needs::Nothing => Vec::new(),
        _ => (0..n).map(|j| layer.gram[j * n + j]).collect(),
    };
    let hessian = (needs >= Needs::Factor).then(|| {
        let mut h = hessian(&layer.gram, n, setting.number("damping"));
        if needs == Needs::Factor {
            h.inverse.clear(); // a method that did not ask for it must do without
        }
        h
    });
    let mut weights = layer.weights.clone();
    let inputs = HostInputs { cols: n, square_sums, hessian };
    let (pace, mut blocks) = (Pace::default(), None);
    let job =
        MatrixJob { weights: &mut weights, blocks: &mut blocks, setting: &setting, pace: &pace };
    assert_eq!(block_on(method.on_host(job, &inputs)).unwrap(), Outcome::Done, "{spec}");
    (weights, blocks)
}

/// δᵀHδ of one row of f32 results.
pub fn loss(h: &Hessian, before: &[f32], after: &[f32]) -> f64 {
    let change: Vec<f64> =
        before.iter().zip(after).map(|(b, a)| f64::from(*a) - f64::from(*b)).collect();
    h.loss(&change)
}

/// The row with this mask and the whole-row optimum.
pub fn refitted(h: &Hessian, row: &[f64], mask: &[bool], way: RefitWay) -> Vec<f64> {
    let mut row = row.to_vec();
    let done = block_on(super::refit::refit(&mut row, mask, h, way, &Pace::default())).unwrap();
    assert_eq!(done, Outcome::Done);
    row
}

pub fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// Whether a method only zeroes weights; the others round them too.
pub fn only_zeroes(method: &dyn ByMatrix) -> bool {
    let has = |id: &str| method.about().knobs.iter().any(|k| k.id == id);
    has("sparsity") && !has("bits")
}

/// Every method that only zeroes weights, in every form that its knobs offer, for one pattern.
pub fn specs(pattern: &str) -> Vec<String> {
    let groups = !pattern.starts_with("sparsity");
    let mut specs = Vec::new();
    for method in METHODS.iter().filter_map(|m| m.by_matrix()).filter(|m| only_zeroes(*m)) {
        let about = method.about();
        let knob = |id: &str| about.knobs.iter().any(|k| k.id == id);
        let mut forms = vec![format!("{}:{pattern}", about.id)];
        if knob("refit") {
            forms.push(format!("{}:{pattern},refit=row", about.id));
        }
        if knob("swaps") {
            forms.push(format!("{}:{pattern},swaps=10", about.id));
        }
        if knob("block") {
            forms.push(format!("{}:{pattern},block=32", about.id));
        }
        if knob("mask") && groups {
            let alone = forms.iter().filter(|f| !f.contains("swaps"));
            let joint: Vec<String> = alone.map(|f| format!("{f},mask=M")).collect();
            forms.extend(joint);
        }
        if about.id == "mrp" {
            forms.extend([
                format!("mrp:{pattern},mask=W"),
                format!("mrp:{pattern},mask=W,block=32"),
            ]);
        }
        specs.extend(forms);
    }
    specs
}

/// Every method in every form with a threshold that rows share, for an unstructured sparsity.
pub fn shared_specs(sparsity: f64) -> Vec<String> {
    specs(&format!("sparsity={sparsity}"))
        .into_iter()
        .map(|spec| {
            let kind =
                if spec.contains("mrp") || spec.contains("sparsegpt") { "block" } else { "layer" };
            format!("{spec},threshold={kind}")
        })
        .collect()
}

/// The mask of a result.
pub fn zeros(row: &[f32]) -> Vec<bool> {
    row.iter().map(|w| *w == 0.0).collect()
}

/// The pattern of a setting text.
pub fn pattern_of(spec: &str) -> Pattern {
    Pattern::of(&setting(spec))
}

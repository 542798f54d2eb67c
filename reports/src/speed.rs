//! How much faster a reduced context is read than the whole one, beside what the saved FLOPs promise.
//!
//! promise = dense FLOPs / reduced FLOPs, end to end: layers, the head for the last token, the method's own arithmetic
//! (`reduce::savings`). Measured: reading the context and the logits of the next token, scores and matching included.
//! A round is dense, reduced, reduced, dense, each at least [`VISIT_MS`]; the first round is dropped. The ratio is formed
//! within a round; what is shown is the median of the rounds with its 95 % interval.

use super::Size;
use super::cases::{is_task, with_cut};
use super::{Args, load};
use std::fmt::Write;
use std::rc::Rc;
use whittle::backend::Device;
use whittle::eval::{Estimate, Placed, median_interval, reading};
use whittle::method::Setting;
use whittle::models::Model;
use whittle::pace::now_ms;
use whittle::reduce::{abouts, check, savings};
use whittle::session::bundle::{Entry, INDEX};
use whittle::session::spec::Backend;
use whittle::session::{Engine, Loaded};
use whittle::{Error, Result};

const METHODS: [&str; 3] = ["utrc", "evit", "tome"];
const CUTS: [f64; 2] = [0.2, 0.3];
const TEXT: &str = "heldout/persuasion.txt";
/// Least length of one of the two visits to a side in a round.
const VISIT_MS: f64 = 40.0;

/// What is measured on one kind of device.
struct SpeedPlan {
    backend: Backend,
    contexts: &'static [usize],
    rounds: usize,
    /// Least share of the promise.
    bar: f64,
}

const PLANS: [SpeedPlan; 2] = [
    SpeedPlan { backend: Backend::Cpu, contexts: &[512, 1024, 2048], rounds: 11, bar: 0.9 },
    SpeedPlan { backend: Backend::Gpu, contexts: &[512, 1024], rounds: 5, bar: 0.8 },
];

/// One row of a table.
struct SpeedRow {
    model: String,
    spec: String,
    tokens: usize,
    kept: usize,
    promise: f64,
    dense_ms: f64,
    ratio: Estimate,
}

impl SpeedRow {
    fn of_promise(&self) -> f64 {
        self.ratio.value / self.promise
    }
}

pub async fn report(args: &Args) -> Result<()> {
    let mut engine = load::engine();
    let end = args.end();
    for id in &args.model {
        Entry::find(id)?;
    }
    let mut page = String::from(HEAD);
    let mut is_complete = true;
    for plan in &PLANS {
        let (mut rows, mut label) = (Vec::new(), String::new());
        for entry in INDEX.models.iter().filter(|entry| !is_task(entry)) {
            if !args.model.is_empty() && !args.model.contains(&entry.id) || now_ms() > end {
                is_complete = false;
                continue;
            }
            let loaded = engine.model(&entry.id).await?;
            let device = match engine.device(plan.backend, &loaded).await {
                Ok(chosen) => chosen.device,
                Err(Error::Gpu(why)) => {
                    label = format!("no GPU: {why}");
                    is_complete = false;
                    continue;
                }
                Err(other) => return Err(other),
            };
            label = name(&device);
            let rounds = if args.size() == Size::Fast { 3 } else { plan.rounds };
            let found = of_model(&engine, entry, &loaded, &device, plan.contexts, rounds);
            rows.extend(found.await?);
        }
        section(&label, plan, &rows, &mut page);
    }
    args.write(&page, is_complete)
}

fn name(device: &Device) -> String {
    match device {
        Device::Cpu => "CPU, native".into(),
        Device::Gpu(gpu) => gpu.label().to_string(),
    }
}

async fn of_model(
    engine: &Engine,
    entry: &Entry,
    loaded: &Loaded,
    device: &Device,
    contexts: &[usize],
    rounds: usize,
) -> Result<Vec<SpeedRow>> {
    let weights = loaded.weights.for_new_device();
    let model = Rc::new(Model::load(device, &loaded.config, &weights)?);
    let placed = Placed::new(device, &loaded.config, &weights, &loaded.tokenizer, model);
    let bytes = engine.data(TEXT).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::file(TEXT, "is not UTF-8 text"))?;
    let ids = loaded.tokenizer.encode(text)?;
    let mut rows = Vec::new();
    for &tokens in contexts {
        let context = ids.get(..tokens).ok_or_else(|| Error::file(TEXT, "is too short"))?;
        for method in METHODS {
            for cut in CUTS {
                let spec = with_cut(method, cut);
                let Some(setting) = Setting::parse(&spec, &abouts())? else { continue };
                check(&loaded.config, &setting)?;
                let arms = [placed.arm(None), placed.arm(Some(&setting))];
                let (dense_ms, ratio) = reading(&arms, context, rounds, VISIT_MS).await?;
                let saved = savings(&loaded.config, &setting, tokens)?;
                let row = SpeedRow {
                    model: entry.id.clone(),
                    spec,
                    tokens,
                    kept: saved.lengths.last().copied().unwrap_or(tokens),
                    promise: 1.0 / (1.0 - saved.total),
                    dense_ms,
                    ratio,
                };
                eprintln!(
                    "{} {tokens} {} {:.3} of {:.3}, dense {dense_ms:.1} ms",
                    entry.id, row.spec, row.ratio.value, row.promise
                );
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

const HEAD: &str = "# Speed of token reduction: measured

Generated by `cargo run -p whittle-reports -- token-reduction-speed`; do not edit. How many times as long the whole context takes to read as
the reduced one, up to the logits of the next token, scores and matching included. Promise: FLOPs of the whole over FLOPs
of the reduced context, end to end, the method's own included (docs/token-reduction.md). Rounds of dense, reduced,
reduced, dense in one process; median of the rounds with its 95 % interval. Cuts are shares of the layers' FLOPs.
Above 1 of the promise is possible: operations differ in speed, and FLOPs do not count memory traffic.
";

fn section(label: &str, plan: &SpeedPlan, rows: &[SpeedRow], out: &mut String) {
    let _ = write!(out, "\n## {label}\n\n");
    if rows.is_empty() {
        *out += "Not measured.\n";
        return;
    }
    let met = rows.iter().filter(|row| row.of_promise() >= plan.bar).count();
    let _ = writeln!(
        out,
        "The bar is {:.1} of the promise: {met} of {} rows meet it. Median of all rows: {:.2} of the promise.\n",
        plan.bar,
        rows.len(),
        median_interval(&rows.iter().map(SpeedRow::of_promise).collect::<Vec<_>>()).value
    );
    *out += "| model | tokens | method | tokens left | dense, ms | promise | measured | of the promise | bar met |\n\
             |---|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        let SpeedRow { model, spec, tokens, kept, promise, dense_ms, ratio } = row;
        let _ = writeln!(
            out,
            "| {model} | {tokens} | `{spec}` | {kept} | {dense_ms:.1} | {promise:.3} | {:.3} [{:.3}, {:.3}] | {:.2} | {} |",
            ratio.value,
            ratio.low,
            ratio.high,
            row.of_promise(),
            if row.of_promise() >= plan.bar { "yes" } else { "no" }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_below_the_bar_says_no_and_is_not_counted() {
        let row = |ratio: f64| SpeedRow {
            model: "m".into(),
            spec: "utrc:cut=0.2".into(),
            tokens: 512,
            kept: 229,
            promise: 1.25,
            dense_ms: 9.0,
            ratio: Estimate { value: ratio, low: ratio, high: ratio, n: 11 },
        };
        let mut out = String::new();
        section("CPU", &PLANS[0], &[row(1.12), row(1.13)], &mut out);
        assert!(out.contains("1 of 2 rows meet it"), "{out}");
        assert!(out.contains("| 0.90 | no |") && out.contains("| 0.90 | yes |"), "{out}");
    }

    #[test]
    fn every_spec_runs_on_every_bundled_language_model() {
        for entry in INDEX.models.iter().filter(|entry| !is_task(entry)) {
            for method in METHODS {
                let setting = Setting::parse(&with_cut(method, CUTS[1]), &abouts()).unwrap();
                assert!(whittle::reduce::runs_on(&entry.family, &setting.unwrap()), "{method}");
            }
        }
    }
}

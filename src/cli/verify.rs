//! `whittle verify`: runs again what somebody published, and says how the figures stand to those.
//!
//! Exit codes: 0 the same, 3 within noise, 4 different (the message says where); 1 and 2 as everywhere. Speeds are not
//! compared, since they belong to a machine.

pub mod published;

use super::arithmetic::ArithmeticArg;
use super::{BackendArg, figures, load, run};
use crate::arithmetic::{self, Arithmetic};
use crate::error::printable;
use crate::eval::{Agreement, Estimate, Quality};
use crate::session::Engine;
use crate::session::bundle::Entry;
use crate::session::link::Link;
use crate::session::protocol::RunView;
use crate::session::spec::{OWN, RunSpec};
use crate::{Error, Result};
use published::{Figures, Published};
use serde_json::Value;

#[derive(clap::Args)]
pub(super) struct Args {
    /// A link, or a file: of `whittle run --json`, of `whittle sweep`, or of the page's history as JSON.
    published: String,
    /// The model, where it is not a bundled one: a folder or a name as in `whittle run`.
    #[arg(long)]
    model: Option<String>,
    /// The data of an evaluation that ran on a file of one's own, or org/name:config:split of the hub.
    #[arg(long)]
    data: Option<String>,
    /// Run here and not where the link says.
    #[arg(long, value_enum)]
    backend: Option<BackendArg>,
    /// Threads on the CPU. [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// What many rows are multiplied with. [default: what the figures were published under]
    #[arg(long, value_enum)]
    arithmetic: Option<ArithmeticArg>,
}

const SAME: u8 = 0;
const WITHIN_NOISE: u8 = 3;
const DIFFERENT: u8 = 4;

/// Errors: nothing to verify, or a run that cannot be made here. How the figures agree is the exit code.
pub(super) async fn main(args: Args) -> Result<u8> {
    crate::threads::set(args.threads)?;
    let all = published::read(&args.published)?;
    let file = args.data.as_deref().map(|file| load::data(file, None)).transpose()?;
    let fresh = || {
        let mut engine = load::engine();
        let data = file.clone().map(|bytes| engine.open_data(bytes)).unwrap_or_default();
        (engine, data)
    };
    let (mut engine, mut data) = fresh();
    let mut findings = Vec::new();
    for (i, one) in all.iter().enumerate() {
        if all.len() > 1 {
            println!("{}run {} of {}", if i > 0 { "\n" } else { "" }, i + 1, all.len());
        }
        if take_arithmetic(one, &args)? {
            // What an engine keeps of a model was computed under the other one.
            (engine, data) = fresh();
        }
        findings.extend(verify(&mut engine, one, &data, &args).await?);
    }
    let worst = findings.iter().map(|f| f.agreement).max().unwrap_or(Agreement::Same);
    let mut places: Vec<&str> =
        findings.iter().filter(|f| f.agreement == worst).map(|f| f.what.as_str()).collect();
    places.dedup();
    places.truncate(8);
    let places = places.join("; ");
    Ok(match worst {
        Agreement::Same if all.iter().all(|one| one.figures.is_none()) => {
            println!(
                "\nThe link means here what it meant where it was made: equal weights and data. It carries no figures; those above are today's."
            );
            SAME
        }
        Agreement::Same => {
            println!("\nthe same");
            SAME
        }
        Agreement::WithinNoise => {
            println!("\nwithin noise: {places}");
            WITHIN_NOISE
        }
        Agreement::Different => {
            println!("\ndifferent, here: {places}");
            DIFFERENT
        }
    })
}

/// Takes on the arithmetic that was asked for, or that of the published figures; gives whether it is another than before.
///
/// Errors: the figures are of bf16 arithmetic and the processor has none.
fn take_arithmetic(one: &Published, args: &Args) -> Result<bool> {
    let label = one.figures.as_ref().map_or("", |figures| &figures.backend);
    let published = Arithmetic::of_label(label);
    let is_elsewhere = match (published, args.backend) {
        (_, None) => false,
        (Arithmetic::F16, Some(backend)) => matches!(backend, BackendArg::Cpu),
        (_, Some(backend)) => !matches!(backend, BackendArg::Cpu),
    };
    let wanted = match args.arithmetic {
        Some(asked) => asked.into(),
        None if is_elsewhere => Arithmetic::F32,
        None => published,
    };
    if args.arithmetic.is_none() && wanted == Arithmetic::Bf16 && !arithmetic::has_bf16() {
        let found = "figures of bf16 arithmetic, and a processor without AVX512_BF16";
        let expected =
            "a processor that has it, or `--arithmetic f32` to set them beside the reference's";
        return Err(Error::input("verify", found, expected));
    }
    if wanted != published && one.figures.is_some() {
        load::note(&format!(
            "The figures are of {} arithmetic and are run again in {}: part of a difference may be that.",
            published.id(),
            wanted.id()
        ));
    }
    let is_new = wanted != arithmetic::current();
    arithmetic::set(wanted)?;
    Ok(is_new)
}

/// How one thing agrees.
struct Finding {
    what: String,
    agreement: Agreement,
}

impl Finding {
    fn new(what: impl AsRef<str>, agreement: Agreement) -> Finding {
        Finding { what: printable(what.as_ref(), 120), agreement }
    }
}

/// `data` is the hash of the user's own, empty where there is none.
async fn verify(
    engine: &mut Engine,
    one: &Published,
    data: &str,
    args: &Args,
) -> Result<Vec<Finding>> {
    one.link.notes.iter().for_each(|text| load::note(text));
    let (mut spec, sha256) = settings(engine, &one.link, args).await?;
    let mut findings = grounds(&one.link, &sha256, data);
    if !data.is_empty() {
        spec.data = data.into();
    }
    let (view, details) = run::shown_run(engine, &spec).await?;
    details.problems.iter().for_each(|problem| load::note(&format!("Left out: {problem}.")));
    println!("link         {}", view.link);
    println!("backend      {}", view.backend);
    let Some(figures) = &one.figures else {
        view.quality.iter().for_each(|q| show(q, None));
        return Ok(findings);
    };
    if figures.backend != view.backend {
        println!("published    {}", printable(&figures.backend, 200));
    }
    println!("\n{:<44} {:<12} {:>26} {:>26}", "figure", "", "published", "here");
    for q in &figures.quality {
        findings.push(of_quality(q, &view.quality));
    }
    let cost = match figures.is_point {
        true => serde_json::to_value(details.point.cost),
        false => serde_json::to_value(&view.cost),
    };
    findings.extend(of_cost(&figures.cost, &cost.expect("numbers serialise")));
    findings.extend(of_texts(figures, &view));
    Ok(findings)
}

/// The settings of a link on a model that is here, and the hash of its weights.
async fn settings(engine: &mut Engine, link: &Link, args: &Args) -> Result<(RunSpec, String)> {
    let mut spec = link.spec.clone();
    if let Some(model) = &args.model {
        let (id, _) = load::model(engine, model).await?;
        spec.set("model", &id)?;
        // What a change of the model has set back is the link's again.
        (spec.evaluation, spec.reduction) =
            (link.spec.evaluation.clone(), link.spec.reduction.clone());
        (spec.prompt, spec.tokens) = (link.spec.prompt.clone(), link.spec.tokens);
    } else if spec.model == OWN {
        let expected = "the folder of the model that the link was made with";
        return Err(Error::input("--model", "nothing", expected));
    }
    if let Some(backend) = args.backend {
        spec.backend = backend.into();
    }
    let loaded = engine.model(&spec.model).await?;
    spec.fit(&loaded.config).iter().for_each(|text| load::note(text));
    let sha256 = match Entry::find(&spec.model) {
        Ok(entry) => entry.sha256().to_string(),
        Err(_) => loaded.sha256().to_string(),
    };
    Ok((spec, sha256))
}

/// Whether what the figures rest on is here.
fn grounds(link: &Link, sha256: &str, data: &str) -> Vec<Finding> {
    let agreed = |same: bool| if same { Agreement::Same } else { Agreement::Different };
    if link.model_hash.is_empty() {
        load::note("The link names no weights, so that it cannot be said whether these are they.");
    }
    let is_same = sha256.starts_with(&link.model_hash);
    let is_data = !link.other_bundled_data && link.other_data(data).is_none();
    vec![
        Finding::new("the weights", agreed(is_same)),
        Finding::new("the evaluation data", agreed(is_data)),
    ]
}

fn of_quality(published: &Quality, here: &[Quality]) -> Finding {
    let found = here.iter().find(|q| q.metric == published.metric);
    let agreement = match found {
        Some(found) => Agreement::of_figures(published, found),
        None => Agreement::Different,
    };
    show(published, Some((found, agreement)));
    let what = match found {
        Some(found) if found.items == published.items => published.label.to_string(),
        Some(found) => {
            format!("{}, {} items and here {}", published.label, published.items, found.items)
        }
        None => format!("{}, which is not measured here", published.label),
    };
    Finding::new(what, agreement)
}

/// Both sides and the change, beside those measured here.
fn show(q: &Quality, beside: Option<(Option<&Quality>, Agreement)>) {
    type Part = fn(&Quality) -> &Estimate;
    let parts: [(&str, Part); 3] = [
        ("baseline", |q| &q.baseline),
        ("compressed", |q| &q.compressed),
        ("change", |q| &q.change),
    ];
    for (name, part) in parts {
        let label = printable(&format!("{}, {name}, n = {}", q.label, q.items), 60);
        let first = figures::shown(q, part(q));
        match beside {
            None => println!("{label:<44} {first:>26}"),
            Some((found, agreement)) => {
                let here =
                    found.map_or("not measured".into(), |found| figures::shown(found, part(found)));
                let word = match name {
                    "baseline" => agreement.words(),
                    _ => "",
                };
                println!("{label:<44} {word:<12} {first:>26} {here:>26}");
            }
        }
    }
}

/// Numbers that were counted: of a run over its prompt, of a point over its items.
const COUNTED: [&str; 9] = [
    "flops_saved_layers",
    "flops_saved_total",
    "lengths",
    "sparsity",
    "sparsity_of_model",
    "flops_share",
    "bytes_per_token",
    "bytes_per_token_dense",
    "file_bytes",
];

fn of_cost(published: &Value, here: &Value) -> Vec<Finding> {
    let numbers = |value: &Value| -> Vec<f64> {
        match value {
            Value::Array(all) => all.iter().filter_map(Value::as_f64).collect(),
            one => one.as_f64().into_iter().collect(),
        }
    };
    let mut findings = Vec::new();
    for name in COUNTED {
        let [was, is] = [published, here].map(|cost| numbers(&cost[name]));
        // What was not counted there, an older version did not count.
        if was.is_empty() {
            continue;
        }
        let pairs = was.iter().zip(&is).map(|(a, b)| Agreement::of_counted(*a, *b));
        let agreement = pairs.max().filter(|_| was.len() == is.len());
        let agreement = agreement.unwrap_or(Agreement::Different);
        if agreement != Agreement::Same {
            println!(
                "{name}: published {}, here {}",
                printable(&published[name].to_string(), 60),
                here[name]
            );
        }
        findings.push(Finding::new(name, agreement));
    }
    findings
}

/// Texts part where two tokens are nearly as likely, and from there on they are others: that is noise.
fn of_texts(figures: &Figures, view: &RunView) -> Vec<Finding> {
    let here = [&view.baseline.text, &view.compressed.text];
    let Some(texts) = &figures.texts else { return Vec::new() };
    let pairs = ["baseline", "compressed"].into_iter().zip(texts.iter().zip(here));
    let of = |(side, (was, is)): (&str, (&String, &String))| {
        let same = was.chars().zip(is.chars()).take_while(|(a, b)| a == b).count();
        let is_same = was == is;
        if !is_same {
            println!("The {side} text parts after {same} characters.");
        }
        let agreement = if is_same { Agreement::Same } else { Agreement::WithinNoise };
        Finding::new(format!("the {side} text"), agreement)
    };
    pairs.map(of).collect()
}

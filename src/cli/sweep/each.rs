//! `whittle sweep each`: a grid in which one layer, or one matrix, is pruned alone, cell by cell.
//!
//! What a pruning of a single part does to the score is no estimate: it is measured like any other cell. Grids are text, so
//! this one can be read and changed before it is measured.

use crate::cli::load;
use crate::config::ModelConfig;
use crate::method::Setting;
use crate::models::{Linear, Names};
use crate::session::bundle::Entry;
use crate::{Error, Result, eval, prune};
use std::fmt::Write;

#[derive(clap::Args)]
pub struct Args {
    /// Pruning SPEC; its own layers and matrices are the ones that are tried.
    prune: String,
    /// A bundled model's name or a folder with a Hugging Face model.
    #[arg(long)]
    model: String,
    /// Evaluation SPEC; may be given several times. [default: the model's own]
    #[arg(long)]
    eval: Vec<String>,
    #[arg(long, value_enum, default_value = "layer")]
    by: By,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum By {
    /// All matrices of a layer together.
    Layer,
    /// One matrix of one layer.
    Matrix,
}

/// Prints the grid.
pub async fn main(args: &Args) -> Result<()> {
    let setting = Setting::parse(&args.prune, &prune::abouts())?
        .ok_or_else(|| Error::input("pruning", &args.prune, "a method; see `whittle methods`"))?;
    let mut evaluations = args.eval.clone();
    if evaluations.is_empty() {
        let own = Entry::find(&args.model).ok().and_then(|entry| entry.evaluations.first());
        let expected = "an evaluation SPEC; only bundled models have one of their own";
        evaluations.extend(own.cloned());
        if evaluations.is_empty() {
            return Err(Error::input("--eval", "nothing", expected));
        }
    }
    evaluations.iter().try_for_each(|text| eval::parse(text).map(|_| ()))?;
    let mut engine = load::engine();
    let (_, loaded) = load::model(&mut engine, &args.model).await?;
    let mut specs = vec![setting.to_string()];
    specs.extend(parts(&loaded.config, &setting, args.by)?.iter().map(Setting::to_string));
    print!("{}", grid(&args.model, &evaluations, &specs));
    Ok(())
}

fn grid(model: &str, evaluations: &[String], specs: &[String]) -> String {
    let evaluations: Vec<String> = evaluations.iter().map(|e| format!("{e:?}")).collect();
    let mut text = format!("models = [{model:?}]\neval = [{}]\n", evaluations.join(", "));
    text += "# All of it first, then every part alone.\nprune = [\n";
    for spec in specs {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {spec:?},");
    }
    text + "]\n"
}

/// The setting once for every part of the model that it would prune.
///
/// Errors: the method cannot be told which parts; nothing is left.
fn parts(config: &ModelConfig, setting: &Setting, by: By) -> Result<Vec<Setting>> {
    prune::check(config, setting)?;
    let knob = if by == By::Layer { "layers" } else { "only" };
    if !setting.knobs().any(|(id, _)| id == knob) {
        let expected = format!("a method with `{knob}`; see `whittle methods`");
        return Err(Error::input("pruning", setting.about.id, expected));
    }
    let with = |layer: usize, only: Option<&str>| {
        let mut one = setting.clone();
        one.set_knob("layers", &layer.to_string())?;
        only.map_or(Ok(()), |name| one.set_knob("only", name))?;
        Ok(one)
    };
    if by == By::Layer {
        let chosen = setting.layers("layers");
        let is_chosen = |layer: &usize| chosen.is_empty() || chosen.contains(layer);
        return (0..config.n_layer()).filter(is_chosen).map(|layer| with(layer, None)).collect();
    }
    let names = Names::of(config.family);
    let one = |linear: &Linear| {
        // Without the layer's own part, so that the SPECs of all layers are alike.
        let name = linear.name.strip_prefix(&names.layer(linear.layer)).unwrap_or(&linear.name);
        let name = name.strip_suffix(".weight").unwrap_or(name);
        with(linear.layer, Some(name))
    };
    prune::chosen(config, setting)?.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn configs() -> Vec<ModelConfig> {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
        let folders = std::fs::read_dir(models).unwrap().map(|f| f.unwrap().path());
        let json = |f: std::path::PathBuf| std::fs::read(f.join("config.json")).unwrap();
        folders.map(|folder| ModelConfig::parse(&json(folder)).unwrap()).collect()
    }

    #[test]
    fn every_matrix_of_every_family_stands_alone_once() {
        for config in configs() {
            let setting = Setting::parse("wanda:sparsity=0.6", &prune::abouts()).unwrap().unwrap();
            let all = prune::chosen(&config, &setting).unwrap();
            let alone = parts(&config, &setting, By::Matrix).unwrap();
            let found: Vec<Linear> =
                alone.iter().flat_map(|one| prune::chosen(&config, one).unwrap()).collect();
            assert_eq!(found, all, "{}", config.family());
            assert_eq!(alone.len(), all.len(), "{}", config.family());
            assert!(alone.iter().all(|one| one.number("sparsity") == 0.6));
            let layers = parts(&config, &setting, By::Layer).unwrap();
            assert_eq!(layers.len(), config.n_layer(), "{}", config.family());
        }
    }

    #[test]
    fn only_what_the_spec_would_prune_is_tried_and_a_method_without_parts_is_refused() {
        let config = configs().into_iter().find(|c| c.family() == "mamba").unwrap();
        let of = |spec: &str, by: By| {
            let setting = Setting::parse(spec, &prune::abouts()).unwrap().unwrap();
            let found = parts(&config, &setting, by)?;
            Ok::<_, Error>(found.iter().map(Setting::to_string).collect::<Vec<_>>())
        };
        let found = of("wanda:matrices=no-x_proj,layers=1", By::Matrix).unwrap();
        let expected = ["in_proj", "out_proj"]
            .map(|name| format!("wanda:matrices=no-x_proj,only=mixer.{name},layers=1"));
        assert_eq!(found, expected);
        assert_eq!(of("wanda:layers=1", By::Layer).unwrap(), ["wanda:layers=1"]);
        for (spec, by, part) in [
            ("structured", By::Layer, "`layers`"),
            ("sparsessm", By::Matrix, "`only`"),
            ("wanda:only=nothing", By::Matrix, "in_proj"),
        ] {
            let error = of(spec, by).unwrap_err().to_string();
            assert!(error.contains(part), "{spec}: {error}");
        }
    }
}

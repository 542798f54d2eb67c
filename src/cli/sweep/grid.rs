//! A grid file: TOML with lists of what is combined.

use crate::bundle::sha256_hex;
use crate::eval::sweep::{Cell, Grid, spec};
use crate::method::Setting;
use crate::session::sweep::Timing;
use crate::{Error, Result, eval, prune, reduce};
use serde::Deserialize;
use std::path::Path;

/// What a file says.
pub struct File {
    pub grid: Grid,
    pub timing: Timing,
    /// The user's own data, for evaluations that run on some.
    pub data: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    models: Vec<String>,
    eval: Vec<String>,
    #[serde(default = "off")]
    reduce: Vec<String>,
    #[serde(default = "off")]
    prune: Vec<String>,
    #[serde(default = "one")]
    seeds: Vec<u32>,
    #[serde(default)]
    speed: bool,
    data: Option<String>,
}

fn off() -> Vec<String> {
    vec!["off".into()]
}

fn one() -> Vec<u32> {
    vec![1]
}

/// Reads a grid. Errors: no TOML, an unknown name, a SPEC that is none, or an empty list.
pub fn read(path: &Path) -> Result<File> {
    let name = path.display().to_string();
    let text = super::super::load::text(&name)?;
    parse(&text).map_err(|e| Error::file(name, e.to_string()))
}

fn parse(text: &str) -> Result<File> {
    let text: Text = toml::from_str(text).map_err(|e| {
        let names =
            "models, eval, reduce, prune, seeds (lists), speed (true or false) and data (a file)";
        Error::input("grid", e.to_string().trim_end(), names)
    })?;
    let read = |file: &String| std::fs::read(file).map_err(|e| Error::file(file, e.to_string()));
    let data = text.data.as_ref().map(read).transpose()?;
    let grid = Grid {
        evaluations: text.eval.iter().map(|s| eval::parse(s)).collect::<Result<_>>()?,
        reductions: settings(&text.reduce, &reduce::abouts())?,
        prunings: settings(&text.prune, &prune::abouts())?,
        seeds: text.seeds.into_iter().map(u64::from).collect(),
        models: text.models,
        data: data.as_ref().map_or_else(String::new, |d| sha256_hex(d)[..16].to_string()),
    };
    grid.prunings.iter().flatten().try_for_each(prune::check_setting)?;
    if grid.cells().is_empty() {
        return Err(Error::input("grid", "an empty list", "at least one of everything"));
    }
    let timing = if text.speed { Timing::InTurns } else { Timing::Untimed };
    Ok(File { grid, timing, data })
}

fn settings(
    specs: &[String],
    abouts: &[&'static crate::method::About],
) -> Result<Vec<Option<Setting>>> {
    specs.iter().map(|spec| Setting::parse(spec, abouts)).collect()
}

/// A cell in words.
pub fn name(cell: &Cell) -> String {
    let (reduce, prune) = (spec(&cell.reduction), spec(&cell.pruning));
    let Cell { model, evaluation, seed, .. } = cell;
    format!("{model} {evaluation} seed={seed} reduce={reduce} prune={prune}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_the_product_of_its_lists_and_what_is_wrong_is_named() {
        let file = parse(
            r#"models = ["lm-mamba2", "lm-llama"]
               eval = ["cloze:n=8"]
               reduce = ["off", "utrc:cut=0.2", "stride:cut=0.2"]
               seeds = [1, 2]"#,
        )
        .unwrap();
        assert_eq!(file.grid.cells().len(), 12);
        assert_eq!(file.timing, Timing::Untimed);
        for (text, part) in [
            ("models = []\neval = [\"cloze\"]", "at least one"),
            ("models = [\"a\"]\neval = [\"nope\"]", "one of continuation"),
            ("models = [\"a\"]\neval = [\"off\"]", "one of continuation"),
            ("models = [\"a\"]\neval = [\"cloze\"]\nmethods = []", "methods"),
            ("models = [\"a\"]\neval = [\"cloze\"]\nprune = [\"mrp:mask=M\"]", "a pattern"),
            ("models = 3", "models"),
        ] {
            let error = parse(text).err().expect(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

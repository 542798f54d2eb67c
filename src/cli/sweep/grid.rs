//! A grid file: TOML with lists of what is combined.

use crate::bundle::sha256_hex;
use crate::cli::load;
use crate::eval::sweep::{Cell, Grid, spec};
use crate::method::Setting;
use crate::session::sweep::Timing;
use crate::{Error, Result, eval, prune, reduce};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// More cells than anybody measures; they are held in memory.
const MOST_CELLS: f64 = 1e5;

/// What a file says.
pub struct File {
    /// All combinations.
    pub grid: Grid,
    /// Whether speed is measured.
    pub timing: Timing,
    /// The user's own data, by the ids of the evaluations that run on some.
    pub data: BTreeMap<String, Vec<u8>>,
}

/// Where the data of evaluations lies: one file for all of them, or one for each by its id.
#[derive(Deserialize)]
#[serde(untagged)]
enum Data {
    One(String),
    Each(BTreeMap<String, String>),
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
    data: Option<Data>,
    labels: Option<String>,
}

fn off() -> Vec<String> {
    vec!["off".into()]
}

fn one() -> Vec<u32> {
    vec![1]
}

/// Reads a grid; `models` take the place of its own where there are any.
///
/// Errors: no TOML, an unknown name, a SPEC that is none, data that cannot be read or fetched, or an empty list.
pub fn read(path: &Path, models: &[String]) -> Result<File> {
    let name = path.display().to_string();
    let text = load::text(&name)?;
    parse(&text, models).map_err(|e| match e {
        // Names what it is about, and is no fault of the grid.
        Error::Hub(_) => e,
        other => Error::file(name, other.to_string()),
    })
}

/// Reads the text of a grid. Errors: as [`read`].
pub fn parse(text: &str, models: &[String]) -> Result<File> {
    let mut text: Text = toml::from_str(text).map_err(|e| {
        let names =
            "models, eval, reduce, prune, seeds (lists), speed (true or false), data (a file, or one by evaluation) and labels (a file)";
        Error::input("grid", e.to_string().trim_end(), names)
    })?;
    if !models.is_empty() {
        text.models = models.to_vec();
    }
    let evaluations: Vec<Setting> =
        text.eval.iter().map(|s| eval::parse(s)).collect::<Result<_>>()?;
    let data = data(&text, &evaluations)?;
    let hash = |(id, bytes): (&String, &Vec<u8>)| (id.clone(), sha256_hex(bytes)[..16].to_string());
    let grid = Grid {
        evaluations,
        reductions: settings(&text.reduce, &reduce::abouts())?,
        prunings: settings(&text.prune, &prune::abouts())?,
        seeds: text.seeds.into_iter().map(u64::from).collect(),
        models: text.models,
        data: data.iter().map(hash).collect(),
    };
    grid.prunings.iter().flatten().try_for_each(prune::check_setting)?;
    let cells = grid.models.len() as f64
        * grid.evaluations.len() as f64
        * grid.reductions.len() as f64
        * grid.prunings.len() as f64
        * grid.seeds.len() as f64;
    if cells > MOST_CELLS {
        return Err(Error::input(
            "grid",
            format!("{cells} cells"),
            format!("at most {MOST_CELLS}"),
        ));
    }
    if grid.cells().is_empty() {
        return Err(Error::input("grid", "an empty list", "at least one of everything"));
    }
    let timing = if text.speed { Timing::InTurns } else { Timing::Untimed };
    Ok(File { grid, timing, data })
}

/// The files of the evaluations that need one.
fn data(text: &Text, evaluations: &[Setting]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for setting in evaluations.iter().filter(|setting| eval::is_of_own_data(setting)) {
        let id = setting.about.id;
        let file = match &text.data {
            Some(Data::One(file)) => Some(file),
            Some(Data::Each(files)) => files.get(id),
            None => None,
        };
        let expected = format!("a file for {id}: data = FILE, or data = {{ {id} = FILE, ... }}");
        let file = file.ok_or_else(|| Error::input("data", "nothing", expected))?;
        let labels = text.labels.as_deref().filter(|_| id == "piqa");
        files.insert(id.to_string(), load::data(file, labels)?);
    }
    Ok(files)
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
            &[],
        )
        .unwrap();
        assert_eq!(file.grid.cells().len(), 12);
        assert_eq!(file.timing, Timing::Untimed);
        let models = ["recall-llama".to_string()];
        let other = parse("models = [\"a\"]\neval = [\"cloze\"]", &models).unwrap();
        assert_eq!(other.grid.models, models);
        let seeds = (0..100_001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let many = format!("models = [\"a\"]\neval = [\"cloze\"]\nseeds = [{seeds}]");
        for (text, part) in [
            ("models = []\neval = [\"cloze\"]", "at least one"),
            ("models = [\"a\"]\neval = [\"nope\"]", "one of continuation"),
            ("models = [\"a\"]\neval = [\"off\"]", "one of continuation"),
            ("models = [\"a\"]\neval = [\"cloze\"]\nmethods = []", "methods"),
            ("models = [\"a\"]\neval = [\"cloze\"]\nprune = [\"mrp:mask=M\"]", "a pattern"),
            ("models = 3", "models"),
            ("models = [\"a\"]\neval = [\"piqa\"]", "piqa = FILE"),
            ("models = [\"a\"]\neval = [\"piqa\"]\ndata = { arc-easy = \"x\" }", "piqa = FILE"),
            (many.as_str(), "at most 100000"),
        ] {
            let error = parse(text, &[]).err().expect(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

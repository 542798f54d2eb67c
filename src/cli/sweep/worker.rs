//! The worker's end of a sweep: numbers of cells in, lines of JSON out.

use super::grid::File;
use crate::Result;
use crate::cli::load;
use crate::eval::Point;
use crate::pace::Pace;
use crate::session::Loaded;
use crate::session::spec::Backend;
use crate::session::sweep::Sweeper;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};
use std::rc::Rc;

/// What became of a cell.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Point(Box<Point>),
    /// Why it could not be measured.
    Error(String),
}

/// Measures what standard input asks for until it ends.
pub async fn main(file: &File, backend: Backend) -> Result<()> {
    let cells = file.grid.cells();
    let mut engine = load::engine();
    let mut of: Option<&str> = None; // the evaluation whose data is open
    let mut sweeper = Sweeper::new(backend, file.timing);
    let mut opened: Option<(String, Rc<Loaded>)> = None;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let cell = line.trim().parse::<usize>().ok().and_then(|i| cells.get(i));
        let Some(cell) = cell else {
            say(&Answer::Error(format!("{line:?} is no number of a cell below {}", cells.len())));
            continue;
        };
        if opened.as_ref().is_none_or(|(name, _)| *name != cell.model) {
            opened = match load::model(&mut engine, &cell.model).await {
                Ok((_, loaded)) => Some((cell.model.clone(), loaded)),
                Err(e) => {
                    say(&Answer::Error(e.to_string()));
                    continue;
                }
            };
        }
        let Some((_, loaded)) = &opened else { continue };
        let id = cell.evaluation.about.id;
        if let Some(data) = file.data.get(id)
            && of != Some(id)
        {
            engine.open_data(data.clone());
            of = Some(id);
        }
        let pace = Pace::default();
        let found = sweeper.cell(&mut engine, loaded, cell, &pace, &mut |_, _| {}).await;
        say(&match found {
            Ok(point) => Answer::Point(Box::new(point)),
            Err(e) => Answer::Error(e.to_string()),
        });
    }
    Ok(())
}

fn say(answer: &Answer) {
    let line = serde_json::to_string(answer).expect("numbers and strings serialise");
    println!("{line}");
    // A driver that has gone ends the worker at its next line.
    let _ = std::io::stdout().flush();
}

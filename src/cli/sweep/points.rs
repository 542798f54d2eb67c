//! A file of points: JSON lines that are only ever added to.
//!
//! A line that a kill has cut short is taken away when the file is opened again; its cell is measured once more.

use crate::eval::Point;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// A file that points are added to; no other process can open it so meanwhile.
pub struct Points {
    name: String,
    file: File,
    pub keys: BTreeSet<String>,
    /// Names of the devices that they were measured on.
    pub backends: BTreeSet<String>,
}

/// The points of a file, each key once. Errors: a line that is no point, named by its number.
pub fn read(path: &Path) -> Result<Vec<Point>> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| Error::file(&name, e.to_string()))?;
    let (points, _) = parse(&name, &bytes)?;
    Ok(points)
}

/// The points of whole lines, and the bytes that these take.
fn parse(name: &str, bytes: &[u8]) -> Result<(Vec<Point>, usize)> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut keys = BTreeSet::new();
    let mut points = Vec::new();
    for (i, line) in bytes[..whole].split(|b| *b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let point: Point = serde_json::from_slice(line).map_err(|e| {
            let problem = format!("line {} is no measured point ({e}); remove that line", i + 1);
            Error::file(name, problem)
        })?;
        if keys.insert(point.key.clone()) {
            points.push(point);
        }
    }
    Ok((points, whole))
}

impl Points {
    /// Opens or makes a file. Errors: it is something else, or another sweep writes to it.
    pub fn open(path: &Path) -> Result<Points> {
        let name = path.display().to_string();
        let failed = |e: std::io::Error| Error::file(&name, e.to_string());
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path).map_err(failed)?;
        if file.try_lock().is_err() {
            let problem = "another sweep writes to it; wait for that one, or name another file";
            return Err(Error::file(name, problem));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let (points, whole) = parse(&name, &bytes)?;
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(failed)?;
        }
        let backends = points.iter().map(|point| point.backend.clone()).collect();
        let keys = points.into_iter().map(|point| point.key).collect();
        Ok(Points { name, file, keys, backends })
    }

    /// Adds a point unless its cell is there; when this returns it is on the disk.
    pub fn add(&mut self, point: &Point) -> Result<()> {
        if !self.keys.insert(point.key.clone()) {
            return Ok(());
        }
        let mut line = serde_json::to_vec(point).expect("numbers and strings serialise");
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|e| Error::file(&self.name, e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::PointCost;

    fn point(key: &str) -> Point {
        Point {
            key: key.into(),
            fragment: "#v=1".into(),
            model: "m".into(),
            evaluation: "cloze".into(),
            reduce: "off".into(),
            prune: "off".into(),
            seed: 1,
            items: 0,
            items_wanted: 0,
            complete: true,
            quality: Vec::new(),
            cost: PointCost::default(),
            speed: None,
            ms: 0.0,
            backend: "CPU".into(),
            created: None,
        }
    }

    #[test]
    fn a_line_cut_short_goes_and_no_cell_is_written_twice() {
        let folder = std::env::temp_dir().join(format!("whittle-points-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("points.jsonl");
        {
            let mut points = Points::open(&path).unwrap();
            points.add(&point("a")).unwrap();
            points.add(&point("a")).unwrap();
            points.add(&point("b")).unwrap();
            assert!(Points::open(&path).is_err(), "two writers of one file");
        }
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(&bytes.clone()[..20]);
        std::fs::write(&path, &bytes).unwrap();
        let mut points = Points::open(&path).unwrap();
        assert_eq!(points.keys.len(), 2);
        points.add(&point("c")).unwrap();
        drop(points);
        let keys: Vec<String> = read(&path).unwrap().into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["a", "b", "c"]);
        std::fs::write(&path, "{}\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

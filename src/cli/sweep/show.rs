//! Tables and frontiers of a file of points, as Markdown or CSV.

use super::points;
use crate::Result;
use crate::arithmetic::Arithmetic;
use crate::eval::compare::PUBLISHED;
use crate::eval::{Estimate, Point, Quality, Verdict};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// What a sweep wrote.
    file: PathBuf,
    /// Comma-separated values in place of Markdown.
    #[arg(long)]
    csv: bool,
    /// The figure that is shown, such as accuracy or perplexity; by default each evaluation's first.
    #[arg(long)]
    metric: Option<String>,
    /// In a table: what changed most for the worse first, within a model, evaluation and seed.
    #[arg(long)]
    by_change: bool,
    /// What counts as cost in a frontier.
    #[arg(long, value_enum, default_value = "flops")]
    cost: CostArg,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum CostArg {
    /// FLOPs of reading the contexts, as a share of the dense model's.
    Flops,
    /// Bytes of weights that a decoded token reads.
    Bytes,
}

/// One line of a table.
struct TableRow<'a> {
    point: &'a Point,
    quality: &'a Quality,
}

const HEAD: [&str; 12] = [
    "model",
    "evaluation",
    "seed",
    "reduce",
    "prune",
    "figure",
    "n",
    "baseline",
    "compressed",
    "change",
    "says",
    "FLOPs",
];

pub fn table(args: &Args) -> Result<()> {
    let mut points = points::read(&args.file)?;
    points.sort_by_key(order);
    let head: Vec<String> = HEAD.iter().chain(&["MB a token"]).map(|h| (*h).to_string()).collect();
    print(args, &head);
    let mut rows = rows(args, &points);
    if args.by_change {
        let of = |row: &TableRow<'_>| {
            let p = row.point;
            (p.model.clone(), p.evaluation.clone(), p.seed)
        };
        rows.sort_by(|a, b| of(a).cmp(&of(b)).then(harm(b).total_cmp(&harm(a))));
    }
    for row in rows {
        for row in [Some(&row), as_published(&row).as_ref()].into_iter().flatten() {
            let mut line = settings(row.point);
            line.extend(figures(row));
            print(args, &line);
        }
    }
    Ok(())
}

/// How much worse a figure became; what is unknown stands last.
fn harm(row: &TableRow<'_>) -> f64 {
    let sign = if row.quality.higher_is_better { -1.0 } else { 1.0 };
    let change = sign * row.quality.change.value;
    if change.is_finite() { change } else { f64::NEG_INFINITY }
}

/// The same figure by the released code's scorer, where it was asked for: it stands below the honest one.
fn as_published<'a>(row: &TableRow<'a>) -> Option<TableRow<'a>> {
    let wanted = format!("{PUBLISHED}{}", row.quality.metric);
    let quality = row.point.quality.iter().find(|q| q.metric == wanted.as_str())?;
    Some(TableRow { quality, ..*row })
}

/// The order of a table does not depend on the order of measuring.
fn order(p: &Point) -> (String, String, u64, String, String) {
    (p.model.clone(), p.evaluation.clone(), p.seed, p.prune.clone(), p.reduce.clone())
}

fn rows<'a>(args: &Args, points: &'a [Point]) -> Vec<TableRow<'a>> {
    let row = |point: &'a Point| {
        let wanted = |q: &&Quality| args.metric.as_ref().is_none_or(|m| q.metric == m.as_str());
        let quality = point.quality.iter().find(wanted)?;
        Some(TableRow { point, quality })
    };
    points.iter().filter_map(row).collect()
}

fn settings(p: &Point) -> Vec<String> {
    let under = match Arithmetic::of_label(&p.backend) {
        Arithmetic::F32 => String::new(),
        other => format!(" ({} arithmetic)", other.id()),
    };
    vec![
        format!("{}{under}", p.model),
        p.evaluation.clone(),
        p.seed.to_string(),
        p.reduce.clone(),
        p.prune.clone(),
    ]
}

fn figures(row: &TableRow<'_>) -> Vec<String> {
    let (q, cost) = (row.quality, &row.point.cost);
    let or_dash = |x: Option<f64>, text: fn(f64) -> String| x.map_or_else(|| "-".into(), text);
    vec![
        q.label.to_string(),
        q.items.to_string(),
        interval(&q.baseline),
        interval(&q.compressed),
        interval(&q.change),
        says(q.verdict).into(),
        or_dash(cost.flops_share, |x| format!("{x:.4}")),
        or_dash(cost.bytes_per_token, |x| format!("{:.4}", x / 1e6)),
    ]
}

fn interval(e: &Estimate) -> String {
    match e.low.is_finite() && e.high.is_finite() {
        true => format!("{:.4} [{:.4}, {:.4}]", e.value, e.low, e.high),
        false if e.value.is_finite() => format!("{:.4}", e.value),
        false => "-".into(),
    }
}

fn says(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NotSignificant => "not significant",
        Verdict::TooFew => "too few items",
        Verdict::None => "-",
    }
}

fn print(args: &Args, cells: &[String]) {
    match args.csv {
        true => {
            let quoted = |c: &String| match c.contains([',', '"', '\n']) {
                true => format!("\"{}\"", c.replace('"', "\"\"")),
                false => c.clone(),
            };
            println!("{}", cells.iter().map(quoted).collect::<Vec<_>>().join(","));
        }
        false => {
            println!(
                "| {} |",
                cells.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>().join(" | ")
            );
            if cells[0] == HEAD[0] {
                println!("|{}", "---|".repeat(cells.len()));
            }
        }
    }
}

/// For every model, evaluation and seed the points that are not beaten, cheapest first.
pub fn frontier(args: &Args) -> Result<()> {
    let mut points = points::read(&args.file)?;
    points.sort_by_key(order);
    let all = rows(args, &points);
    let mut head: Vec<String> = HEAD.iter().map(|h| (*h).to_string()).collect();
    head.extend(["MB a token".to_string(), "from the next cheaper".to_string()]);
    print(args, &head);
    let group = |row: &TableRow<'_>| {
        (row.point.model.clone(), row.point.evaluation.clone(), row.point.seed)
    };
    let mut rest = &all[..];
    while let Some(first) = rest.first() {
        let n = rest.iter().take_while(|row| group(row) == group(first)).count();
        let (here, after) = rest.split_at(n);
        rest = after;
        let mut before: Option<&TableRow<'_>> = None;
        for row in unbeaten(args.cost, here) {
            let mut line = settings(row.point);
            line.extend(figures(row));
            line.push(before.map_or("", |b| apart(b, row)).into());
            print(args, &line);
            before = Some(row);
        }
    }
    Ok(())
}

fn cost(kind: CostArg, point: &Point) -> Option<f64> {
    match kind {
        CostArg::Flops => point.cost.flops_share,
        CostArg::Bytes => point.cost.bytes_per_token,
    }
}

/// The rows that no other one beats: none is as cheap and better, or cheaper and as good. Cheapest first.
fn unbeaten<'a, 'b>(kind: CostArg, rows: &'a [TableRow<'b>]) -> Vec<&'a TableRow<'b>> {
    let value = |row: &TableRow<'_>| {
        let sign = if row.quality.higher_is_better { 1.0 } else { -1.0 };
        sign * row.quality.compressed.value
    };
    let mut known: Vec<(f64, f64, &TableRow<'_>)> = rows
        .iter()
        .filter_map(|row| Some((cost(kind, row.point)?, value(row), row)))
        .filter(|(cost, value, _)| cost.is_finite() && value.is_finite())
        .collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut best = f64::NEG_INFINITY;
    let is_better = |entry: &&(f64, f64, &TableRow<'_>)| {
        let better = entry.1 > best;
        best = best.max(entry.1);
        better
    };
    known.iter().filter(is_better).map(|(_, _, row)| *row).collect()
}

/// Whether the changes of two settings against the same baseline can be told apart. Intervals that overlap are called
/// noise: that asks for more than a paired comparison would, since the two share their items.
fn apart(a: &TableRow<'_>, b: &TableRow<'_>) -> &'static str {
    let (x, y) = (&a.quality.change, &b.quality.change);
    let is_known = [x.low, x.high, y.low, y.high].iter().all(|v| v.is_finite());
    match is_known {
        false => "too few items",
        true if x.high < y.low || y.high < x.low => "apart",
        true => "noise",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::PointCost;

    fn point(flops: f64, accuracy: f64) -> Point {
        let of = |value: f64| Estimate { value, low: value - 0.01, high: value + 0.01, n: 100 };
        let quality = Quality {
            metric: "accuracy".into(),
            label: "Accuracy".into(),
            definition: String::new(),
            unit: "share".into(),
            higher_is_better: true,
            baseline: of(0.9),
            compressed: of(accuracy),
            change: of(accuracy - 0.9),
            items: 100,
            items_total: 100,
            verdict: Verdict::NotSignificant,
        };
        Point {
            key: format!("{flops} {accuracy}"),
            fragment: String::new(),
            model: "m".into(),
            evaluation: "e".into(),
            reduce: "off".into(),
            prune: "off".into(),
            seed: 1,
            items: 100,
            items_wanted: 100,
            complete: true,
            quality: vec![quality],
            cost: PointCost { flops_share: Some(flops), ..PointCost::default() },
            speed: None,
            ms: 0.0,
            backend: "CPU".into(),
            created: None,
        }
    }

    #[test]
    fn a_frontier_keeps_what_nothing_beats_and_names_noise() {
        let points = [
            point(1.0, 0.9),
            point(0.8, 0.85),
            point(0.8, 0.7),
            point(0.7, 0.849),
            point(0.5, 0.3),
            point(0.6, 0.2),
        ];
        let rows: Vec<TableRow<'_>> =
            points.iter().map(|point| TableRow { point, quality: &point.quality[0] }).collect();
        let found = unbeaten(CostArg::Flops, &rows);
        let costs: Vec<f64> = found.iter().filter_map(|r| r.point.cost.flops_share).collect();
        assert_eq!(costs, [0.5, 0.7, 0.8, 1.0]);
        assert_eq!(apart(found[0], found[1]), "apart");
        assert_eq!(apart(found[1], found[2]), "noise");
    }
}

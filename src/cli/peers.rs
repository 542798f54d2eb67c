//! `whittle run --peers`: what else could be had for the same bytes or FLOPs, as a table; and `--calibration-beside`.

use super::figures::{range, shown};
use crate::eval::{PointCost, Quality};
use crate::session::peers::Peers;

/// Prints the table, or one line of JSON.
pub fn print(found: &Peers, as_json: bool) {
    if as_json {
        println!("{}", serde_json::to_string(found).expect("numbers and strings serialise"));
        return;
    }
    println!("\npeers on the same items; bytes and FLOPs counted, speed in turns against this run");
    println!("{:<44} {}", "this run", cost(&found.cost));
    for peer in &found.peers {
        println!("\n{:<44} {}", peer.label, cost(&peer.cost));
        println!("  reduce {}, prune {}", peer.reduce, peer.prune);
        println!(
            "  decoding {} times this run's, prefill {}",
            range(&peer.decode_ratio, 2),
            range(&peer.prefill_ratio, 2)
        );
        for q in &peer.quality {
            println!(
                "  {:<38} {:>26}, less this run {}",
                format!("{}, n = {}", q.label, q.change.n),
                shown(q, &q.compressed),
                shown(q, &q.change)
            );
        }
    }
}

/// Prints what other calibration texts do, or one line of JSON a text.
pub fn print_texts(found: &[(String, Vec<Quality>)], as_json: bool) {
    for (name, quality) in found {
        if as_json {
            let line = serde_json::json!({ "calibration": name, "quality": quality });
            println!("{line}");
            continue;
        }
        println!("\ncalibrated on {name} in place of the run's text, the same items");
        println!("{:<40} {:>26} {:>26} {:>26}", "", "run's text", "this text", "difference");
        for q in quality {
            let figures = [&q.baseline, &q.compressed, &q.change].map(|e| shown(q, e));
            let label = format!("{}, n = {}", q.label, q.change.n);
            println!("{label:<40} {:>26} {:>26} {:>26}", figures[0], figures[1], figures[2]);
        }
    }
}

fn cost(cost: &PointCost) -> String {
    let of = |bytes: Option<f64>| bytes.map_or("-".into(), |b| format!("{:.2}", b / 1e6));
    let flops = cost.flops_share.map_or("-".into(), |share| format!("{:.1}", share * 100.0));
    format!(
        "{} of {} MB a token, {flops} % of the FLOPs of reading",
        of(cost.bytes_per_token),
        of(cost.bytes_per_token_dense)
    )
}

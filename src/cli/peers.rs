//! `whittle run --peers`: what else could be had for the same bytes or FLOPs, as a table.

use super::figures::{range, shown};
use crate::eval::PointCost;
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

fn cost(cost: &PointCost) -> String {
    let of = |bytes: Option<f64>| bytes.map_or("-".into(), |b| format!("{:.2}", b / 1e6));
    let flops = cost.flops_share.map_or("-".into(), |share| format!("{:.1}", share * 100.0));
    format!(
        "{} of {} MB a token, {flops} % of the FLOPs of reading",
        of(cost.bytes_per_token),
        of(cost.bytes_per_token_dense)
    )
}

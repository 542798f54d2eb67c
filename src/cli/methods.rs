//! `whittle methods`: every method in its own words.

use crate::method::{About, KnobKind};
use crate::{Result, eval, prune, reduce};

pub fn main() -> Result<()> {
    println!(
        "SPEC is off, ID, or ID:KEY=VALUE,KEY=VALUE; keys that are left out take their defaults.\n"
    );
    let groups = [
        ("Token reduction (--reduce)", reduce::abouts()),
        ("Pruning (--prune)", prune::abouts()),
        ("Evaluation (--eval)", eval::abouts()),
        ("Evaluation of your own data (--eval with --data FILE)", eval::own_abouts()),
    ];
    for (title, abouts) in groups {
        println!("{title}");
        abouts.into_iter().for_each(print_one);
    }
    Ok(())
}

fn print_one(about: &About) {
    println!("  {:<14} {}", about.id, about.label);
    println!("                 {}", about.summary);
    println!("                 Source: {}", about.source);
    for knob in about.knobs {
        let values = match &knob.kind {
            KnobKind::Number { min, max, default, .. } => {
                format!("{min}..{max}, default {default}")
            }
            KnobKind::Choice { options, default } => {
                let ids: Vec<&str> = options.iter().map(|(id, _)| *id).collect();
                format!("{}, default {default}", ids.join(" | "))
            }
            KnobKind::Text { longest, default } => {
                format!("at most {longest} characters, default {default}")
            }
            KnobKind::Layers => "layers as 1+3, default chosen by depth".into(),
        };
        println!("      {:<12} {} ({values})", knob.id, knob.help);
    }
    println!();
}

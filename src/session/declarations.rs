//! `www/protocol.d.ts`, made from the types of the protocol, so that the page's scripts are checked against them.

use super::protocol::*;
use crate::eval::{
    Estimate, Point, PointCost, PointSpeed, Quality, Score, Scored, Speed, SpeedSide, StateUse,
    Verdict,
};
use crate::method::{About, Knob, KnobKind};
use crate::prune::MatrixReport;
use std::fmt::Write;
use ts_rs::{Config, TS};

const HEAD: &str = "\
// Made from src/session/protocol.rs by `WRITE=1 cargo test --lib session::declarations`. A test fails where it is behind.

/** A request as it is sent: what a person did, and its number. */
export type Ask = Numbered & Request;
";

fn declare<T: TS>(text: &mut String) {
    let config = Config::new().with_large_int("number");
    let docs = T::docs().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = write!(text, "\n{docs}export {}\n", T::decl(&config));
}

fn declarations() -> String {
    let mut text = HEAD.to_string();
    macro_rules! declare {
        ($($name:ty),* $(,)?) => { $(declare::<$name>(&mut text);)* };
    }
    declare!(
        Numbered,
        Request,
        Assist,
        Scored,
        File,
        Event,
        Catalog,
        ModelChoice,
        About,
        Knob,
        KnobKind,
        View,
        DataView,
        SweepView,
        Status,
        State,
        Notice,
        Level,
        ModelView,
        Part,
        Which,
        RunView,
        Side,
        Quality,
        Verdict,
        Estimate,
        ControlView,
        PublishedView,
        Speed,
        SpeedSide,
        Cost,
        PaperCost,
        Decode,
        MatrixReport,
        Point,
        PointCost,
        PointSpeed,
        TraceView,
        TraceToken,
        Fate,
        WordsView,
        PromptToken,
        WrittenToken,
        ItemView,
        Score,
        StateView,
        StateUse,
        RealSize,
        PeersView,
        Peers,
        Peer
    );
    text
}

#[test]
fn the_pages_declarations_are_those_of_the_protocol() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/www/protocol.d.ts");
    let made = declarations();
    if std::env::var_os("WRITE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    let differing = there.lines().zip(made.lines()).find(|(old, new)| old != new);
    assert!(
        there == made,
        "www/protocol.d.ts is behind src/session/protocol.rs (first difference: {differing:?}); \
         run `WRITE=1 cargo test --lib session::declarations` and look at what changed"
    );
}

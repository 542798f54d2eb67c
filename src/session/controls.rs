//! The controls of a token reduction: the same model at the same lengths with tokens that are chosen more plainly.

use super::help::Asked;
use super::protocol::ControlView;
use super::running::Running;
use crate::eval::Comparison;
use crate::method::{Setting, Value};
use crate::pace::Pace;
use crate::{Result, reduce};

/// Scores every control on some of the items; it is told of when it is complete. `call` asks for help with so many.
pub(super) async fn score(
    run: &mut Running<'_, '_>,
    comparison: &Comparison<'_>,
    setting: &Setting,
    evaluation: &Setting,
    call: &dyn Fn(&Setting, usize) -> Asked,
    pace: &Pace,
) -> Result<()> {
    let is_controls = |(id, value): (&str, &Value)| match value {
        Value::Number(n) if id == "controls" => Some(*n as usize),
        _ => None,
    };
    let wanted = evaluation.knobs().find_map(is_controls).unwrap_or(0);
    let knows_filler = comparison.arms[1].filler.is_some();
    for (label, control) in reduce::controls(setting, knows_filler) {
        let mut hear = |done: usize, all: usize| {
            let share = done as f64 / all as f64;
            run.say_often(&format!("Control {label}: {done} of {all} items"), Some(share));
        };
        if wanted == 0 {
            continue;
        }
        let asked = call(&control, wanted);
        let mut help = || asked.take();
        let quality = comparison.against(&control, wanted, pace, &mut help, &mut hear).await?;
        if !quality.is_empty() {
            run.view.controls.push(ControlView { label, spec: control.to_string(), quality });
        }
    }
    Ok(())
}

//! What reductions were given, for tests that ask whether anything scored was among it.

use crate::backend::Device;
use crate::models::LayerOutput;
use std::cell::RefCell;

/// One reduction after one layer: all that its choice can rest on, bit for bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub layer: usize,
    pub tokens: usize,
    /// Bits of hidden, residual and mixer output, one after another.
    pub bits: Vec<u32>,
    pub salt: u64,
}

thread_local! {
    static RECORD: RefCell<Option<Vec<Seen>>> = const { RefCell::new(None) };
}

/// Everything that reductions of this thread are given while `work` goes on.
pub fn record(work: impl FnOnce()) -> Vec<Seen> {
    RECORD.with_borrow_mut(|record| *record = Some(Vec::new()));
    work();
    RECORD.take().unwrap_or_default()
}

/// Called by every reduction before it chooses.
pub(super) fn note(device: &Device, output: &LayerOutput<'_>, salt: u64) {
    RECORD.with_borrow_mut(|record| {
        let Some(record) = record else { return };
        let mut bits = Vec::new();
        for tensor in [output.hidden, output.residual, output.mixer] {
            let values = pollster::block_on(device.read(tensor)).expect("a CPU tensor");
            bits.extend(values.into_iter().map(f32::to_bits));
        }
        record.push(Seen { layer: output.layer, tokens: output.hidden.rows(), bits, salt });
    });
}

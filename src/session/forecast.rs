//! What a model will take in memory, before it is loaded, and whether that is there.

use crate::config::{Mixer, ModelConfig};
use crate::models::{Role, stored_name, tensors};
use crate::weights::Checkpoint;
use crate::{Error, Result};

/// Tokens that a run reads at once at most, and that its longest text has.
const TOKENS: u64 = 2048;
/// Rows as wide as the widest layer that are there at the same time: input, output, gate, and what is added.
const ROWS: u64 = 6;

/// Bytes of a model on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forecast {
    /// Matrices in the precision of the file where that is f16, else in f32; all else in f32.
    pub weights: u64,
    /// States, keys and values of the two sides of a run.
    pub state: u64,
    /// Rows of the widest layer, and the largest tensor while it is brought into order.
    pub workspace: u64,
}

impl Forecast {
    pub fn of(config: &ModelConfig, checkpoint: &Checkpoint) -> Forecast {
        let (mut weights, mut largest) = (0_u64, 0);
        for tensor in tensors(config) {
            let is_half = matches!(tensor.role, Role::Matrix | Role::Embedding)
                && checkpoint.is_f16(&stored_name(&tensor.name, checkpoint));
            let bytes = tensor.elements().saturating_mul(if is_half { 2 } else { 4 });
            weights = weights.saturating_add(bytes);
            largest = largest.max(bytes);
        }
        let (mut state, mut widest) = (0_u64, config.d_model() as u64);
        for layer in &config.layers {
            let columns = match &layer.mixer {
                Mixer::Mamba(m) => 2 * m.d_inner,
                Mixer::Mamba2(m) => m.d_in_proj(),
                Mixer::Attention(a) => (a.n_head + 2 * a.n_kv_head) * a.headdim,
            };
            let inner = layer.mlp.as_ref().map_or(0, |mlp| mlp.d_ff);
            widest = widest.max(columns.max(inner) as u64);
            let kept = match &layer.mixer {
                Mixer::Attention(a) => 8 * TOKENS * (a.n_kv_head * a.headdim) as u64,
                other => other.state_bytes(),
            };
            state = state.saturating_add(2 * kept);
        }
        let workspace = largest.saturating_add(4 * ROWS * TOKENS * widest);
        Forecast { weights, state, workspace }
    }

    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.state).saturating_add(self.workspace)
    }

    /// Errors: more than there is; the message has both sizes. Nothing to compare with is no reason to refuse.
    pub fn check(&self, available: Option<u64>) -> Result<()> {
        let Some(available) = available.filter(|available| *available < self.total()) else {
            return Ok(());
        };
        let mb = |bytes: u64| format!("{} MB", bytes / 1_000_000);
        let place = if cfg!(target_arch = "wasm32") { "this tab" } else { "this machine" };
        let problem = format!(
            "would take {} of memory (weights {}, state {}, workspace {}), and {place} has {} left; close what else is open, or take a smaller model or one stored in f16",
            mb(self.total()),
            mb(self.weights),
            mb(self.state),
            mb(self.workspace),
            mb(available)
        );
        Err(Error::file("the model", problem))
    }
}

/// Bytes that may still be had: of the 4 GiB that WebAssembly can address.
#[cfg(target_arch = "wasm32")]
pub(super) fn available() -> Option<u64> {
    const PAGE: u64 = 65_536;
    Some((65_536 - core::arch::wasm32::memory_size(0) as u64) * PAGE)
}

/// Bytes that may still be had without other programs being moved to the disk; nothing where the system does not say.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sizes_stand_in_the_refusal_and_enough_is_enough() {
        let forecast =
            Forecast { weights: 3_000_000_000, state: 20_000_000, workspace: 200_000_000 };
        assert!(forecast.check(None).is_ok() && forecast.check(Some(3_220_000_000)).is_ok());
        let error = forecast.check(Some(3_219_999_999)).expect_err("one byte short").to_string();
        for part in ["3220 MB", "weights 3000 MB", "has 3219 MB left"] {
            assert!(error.contains(part), "{error}, not {part}");
        }
    }
}

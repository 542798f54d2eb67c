//! The table of names of every family.

use super::names::Names;
use super::{gpt2, gptneox, granite, llama, mamba, opt};
use crate::config::Family;

impl Names {
    /// The table of a family; Mamba-1 and Mamba-2 share one.
    pub fn of(family: Family) -> &'static Names {
        match family {
            Family::Mamba | Family::Mamba2 => &mamba::NAMES,
            Family::Llama => &llama::NAMES,
            Family::GptNeoX => &gptneox::NAMES,
            Family::Gpt2 => &gpt2::NAMES,
            Family::Opt => &opt::NAMES,
            Family::Granite => &granite::NAMES,
        }
    }
}

//! Whittle: small Mamba and transformer language models, compressed live, measured side by side.
//!
//! Data flows one way; a module uses only what stands left of it (ARCHITECTURE.md, enforced by a test):
//! `error, config, weights, tokenizer -> backend + kernels -> models -> reduce, prune -> eval -> session -> web, cli`

pub mod config;
pub mod error;
mod sniff;
pub mod tokenizer;
pub mod weights;

pub use error::{Error, Result};

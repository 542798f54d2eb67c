//! Whittle: small Mamba and transformer language models, compressed live, measured side by side.
//!
//! Data flows one way; a module uses only what stands left of it (ARCHITECTURE.md, enforced by a test):
//! `error, config, weights, tokenizer -> backend + kernels -> models -> reduce, prune -> eval -> session -> web, cli`

#[cfg(not(target_arch = "wasm32"))]
pub mod arithmetic;
pub mod backend;
pub mod bundle;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
pub mod config;
pub mod error;
pub mod eval;
pub mod export;
mod formula;
pub mod kernels;
pub mod method;
pub mod models;
pub mod order;
pub mod pace;
pub mod prune;
pub mod reduce;
mod rng;
pub mod session;
mod sniff;
pub mod threads;
pub mod tokenizer;
#[cfg(target_arch = "wasm32")]
pub mod web;
pub mod weights;

pub use error::{Error, Result};
pub use rng::Rng;

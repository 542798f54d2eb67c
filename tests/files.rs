//! Model folders as people have them, through the library and the command line. What is right stands beside each case.
#![cfg(not(target_arch = "wasm32"))]

#[path = "files/cases.rs"]
mod cases;
#[path = "files/export.rs"]
mod export;
#[cfg(unix)]
#[path = "files/faults.rs"]
mod faults;
#[path = "files/fuzz.rs"]
mod fuzz;
#[path = "files/fuzz_text.rs"]
mod fuzz_text;
#[path = "files/hub.rs"]
mod hub;
#[path = "files/hub_server.rs"]
mod hub_server;
#[path = "files/rows.rs"]
mod rows;
#[path = "files/tiny.rs"]
mod tiny;

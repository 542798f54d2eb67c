//! Loading models: what is accepted, what is refused, and that the refusal names the culprit.

mod load {
    mod config;
    mod corrupt;
    mod families;
    mod limits;
    #[cfg(not(target_arch = "wasm32"))]
    mod mapped;
    mod pickle;
    mod saved;
    mod weights;
}

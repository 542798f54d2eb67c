//! Where a forward pass first gave a value that is not finite: a figure made of such values would mean nothing.

use super::{Model, NoHooks};
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::{Error, Result};

impl Model {
    /// What is wrong with a model whose outputs for these tokens are not finite: an error that names the first layer
    /// after which a value is not. For a pass that went on from a state the cause may lie before these tokens.
    ///
    /// Errors: the GPU failed.
    pub async fn not_finite(
        &self,
        device: &Device,
        config: &ModelConfig,
        ids: &[u32],
    ) -> Result<Error> {
        let mut x = self.embed(device, ids);
        let mut place = "in the embedding".to_string();
        for layer in 0..config.n_layer() {
            if !device.read(&x).await?.iter().all(|v| v.is_finite()) {
                return Ok(at(&place));
            }
            place = format!("after layer {layer}");
            x = self.run_layer(device, layer, x, &mut NoHooks);
        }
        let is_finite = device.read(&x).await?.iter().all(|v| v.is_finite());
        Ok(at(if is_finite { "in the output" } else { &place }))
    }
}

fn at(place: &str) -> Error {
    let problem = format!(
        "gives values that are not finite, first {place}; expected finite ones, since no figure of such a model means anything. Check its weights, or how they were made"
    );
    Error::file("the model", problem)
}

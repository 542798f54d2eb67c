//! What a probe found about a GPU, kept natively from one process to the next: `${XDG_CACHE_HOME:-~/.cache}/whittle/gpu.json`,
//! the form of products by adapter, driver and version.

use crate::backend::gpu::Gpu;
use crate::kernels::matmul::{chosen, probe, take};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where it is kept; nothing where there is no home.
pub fn place() -> Option<PathBuf> {
    let from_xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = from_xdg.filter(|path| path.is_absolute());
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    Some(base.join("whittle").join("gpu.json"))
}

/// Gives a GPU the form that was found for its like, or asks it. One that fails here keeps the form it has, and will fail
/// where somebody waits for a result; what cannot be kept is asked for again next time.
pub async fn tune(gpu: &Rc<Gpu>, place: Option<&Path>) {
    if gpu.is_software() {
        return;
    }
    // A new version may have new forms, or the old ones made faster.
    let key = format!("{}, whittle {}", gpu.adapter_and_driver(), env!("CARGO_PKG_VERSION"));
    let mut known = place.map(read).unwrap_or_default();
    if known.get(&key).is_some_and(|name| take(gpu, name)) {
        return;
    }
    if probe(gpu).await.is_ok()
        && let Some(place) = place
    {
        known.insert(key, chosen(gpu).into());
        // Nobody misses it but for some milliseconds.
        let _ = write(place, &known);
    }
}

fn read(place: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read(place).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Whole or not at all: others may read and write at the same time.
fn write(place: &Path, known: &BTreeMap<String, String>) -> std::io::Result<()> {
    std::fs::create_dir_all(place.parent().unwrap_or(Path::new(".")))?;
    let beside = place.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&beside, serde_json::to_vec_pretty(known)?)?;
    std::fs::rename(beside, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Device, gpu_for_tests};

    fn open() -> Option<Rc<Gpu>> {
        let Some(Device::Gpu(gpu)) = gpu_for_tests() else { return None };
        Some(gpu)
    }

    #[test]
    fn a_probe_is_made_once_for_an_adapter_and_never_for_a_program_on_the_cpu() {
        let folder = std::env::temp_dir().join(format!("whittle-tuned-{}", std::process::id()));
        let place = folder.join("gpu.json");
        let Some(gpu) = open() else { return };
        let wait = |gpu: &Rc<Gpu>| pollster::block_on(tune(gpu, Some(&place)));
        if gpu.is_software() {
            wait(&gpu);
            assert!(!place.exists() && gpu.dispatches() == 0);
        }
        gpu.pass_for_hardware();
        wait(&gpu);
        assert!(gpu.dispatches() > 0);
        let mut known = read(&place);
        assert_eq!(known.values().collect::<Vec<_>>(), [chosen(&gpu)]);

        // Another form than the one found shows that the file is what counts.
        let key = known.keys().next().cloned().expect("one adapter");
        known.insert(key.clone(), "products in tiles of 128 x 128".into());
        write(&place, &known).expect("a file");
        let again = open().expect("as before");
        again.pass_for_hardware();
        wait(&again);
        assert_eq!((again.dispatches(), chosen(&again)), (0, "products in tiles of 128 x 128"));
        assert!(again.label().ends_with("products in tiles of 128 x 128)"), "{}", again.label());

        // A form that there is no more, and a file that is none.
        known.insert(key, "products by hand".into());
        write(&place, &known).expect("a file");
        for content in [None, Some("[")] {
            content.into_iter().for_each(|text| std::fs::write(&place, text).expect("a file"));
            let anew = open().expect("as before");
            anew.pass_for_hardware();
            wait(&anew);
            assert!(anew.dispatches() > 0, "{content:?}");
        }
        std::fs::remove_dir_all(folder).expect("its own folder");
    }
}

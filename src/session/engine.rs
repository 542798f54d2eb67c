//! Devices and the loaded model. Loading a model never loses the one that is there until the new one works.

use super::bundle::{Entry, INDEX, sha256_hex};
use super::help::Help;
use super::known::Known;
use super::library::Library;
use super::open::{CalibrationText, Loaded, open};
use super::spec::{Backend, OWN};
use crate::backend::Device;
use crate::eval::{DATA, PrunedModel};
use crate::kernels::largest_difference;
use crate::models::{Model, NoHooks, Weights};
use crate::pace::now_ms;
use crate::prune::Calibration;
use crate::weights::Bytes;
use crate::{Error, Result};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Everything that outlives a run.
pub struct Engine {
    library: Library,
    gpu: GpuSlot,
    loaded: Option<Rc<Loaded>>,
    own: Option<Rc<Loaded>>,
    /// What the probe of a model (by its number) said: whether the GPU is taken, and why.
    probed: Option<(u64, bool, String)>,
    /// Evaluation files that were read and checked, by name: the next run waits for no network.
    read: RefCell<HashMap<String, Rc<Vec<u8>>>>,
    /// Models on a device, made from `loaded`.
    pub(super) cache: Cache,
    /// Others who score a part of a run's items.
    pub(super) help: Help,
}

/// Whether a GPU was looked for.
enum GpuSlot {
    NotTried,
    Open(Device),
    Unusable(String),
}

/// The models of the last run, so that a change of one control does not load everything again.
#[derive(Default)]
pub(super) struct Cache {
    /// The model's number and the kind of device.
    key: Option<(u64, &'static str)>,
    pub baseline: Option<Rc<Model>>,
    /// The canonical pruning SPEC with its seedless inputs, and what came of it.
    pub pruned: Option<(String, PrunedModel)>,
    pub weights: Option<Rc<Weights>>,
    /// Sequences of the calibration text, by its name and their number.
    pub sequences: Option<(String, Vec<Vec<u32>>)>,
    /// Input statistics of the baseline on the calibration text.
    pub calibration: Option<Calibration>,
    pub known: Known,
}

/// A device and why it was chosen.
pub struct Chosen {
    pub device: Device,
    pub why: String,
}

impl Engine {
    /// Without a device or a model; both are opened when they are first asked for.
    pub fn new(library: Library) -> Engine {
        let (cache, read) = (Cache::default(), RefCell::default());
        Engine {
            library,
            gpu: GpuSlot::NotTried,
            loaded: None,
            own: None,
            probed: None,
            read,
            cache,
            help: Help::default(),
        }
    }

    /// The model of this id, loaded if need be.
    ///
    /// Errors: unknown id, unreadable or wrong files, own files that are not open.
    pub async fn model(&mut self, id: &str) -> Result<Rc<Loaded>> {
        if id == OWN {
            return self.own.clone().ok_or_else(|| {
                Error::input(
                    "model",
                    "your own files",
                    "config.json, model.safetensors and tokenizer.json; open them first",
                )
            });
        }
        if let Some(loaded) = self.loaded.as_ref().filter(|l| l.id == id) {
            return Ok(loaded.clone());
        }
        let entry = Entry::find(id)?;
        let mut loaded = open(self.bundled(entry).await?)?;
        loaded.id = id.to_string();
        loaded.label = entry.label.clone();
        loaded.calibration = CalibrationText::Bundled(entry.calibration.clone());
        let loaded = Rc::new(loaded);
        self.loaded = Some(loaded.clone());
        Ok(loaded)
    }

    /// The files of a bundled model.
    pub async fn bundled(&self, entry: &Entry) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        for (name, hash) in &entry.files {
            let bytes = self.library.get(&format!("models/{}/{name}", entry.id), hash).await?;
            files.push((name.clone(), bytes));
        }
        Ok(files)
    }

    /// The user's own model, if one is open.
    pub fn own(&self) -> Option<&Loaded> {
        self.own.as_deref()
    }

    /// Takes a model of the user's own. What was open before stays when this fails.
    pub fn open_own<B: Into<Bytes>>(&mut self, files: Vec<(String, B)>) -> Result<Rc<Loaded>> {
        let loaded = Rc::new(open(files)?);
        self.own = Some(loaded.clone());
        Ok(loaded)
    }

    /// Takes a file of the user's own as the data of evaluations that ask for one; gives its short hash.
    pub fn open_data(&mut self, bytes: Vec<u8>) -> String {
        let hash = sha256_hex(&bytes)[..16].to_string();
        self.read.borrow_mut().insert(DATA.into(), Rc::new(bytes));
        hash
    }

    /// An evaluation file below models/eval, or [`DATA`].
    pub async fn data(&self, file: &str) -> Result<Rc<Vec<u8>>> {
        if let Some(bytes) = self.read.borrow().get(file) {
            return Ok(bytes.clone());
        }
        if file == DATA {
            let expected = "a file of your own; open it first (`whittle`: --data FILE)";
            return Err(Error::input("data of the evaluation", "nothing", expected));
        }
        let hash = INDEX.eval.get(file).ok_or_else(|| Error::file(file, "is not bundled"))?;
        let bytes = Rc::new(self.library.get(&format!("models/eval/{file}"), hash).await?);
        self.read.borrow_mut().insert(file.to_string(), bytes.clone());
        Ok(bytes)
    }

    /// The device a run asks for; automatic takes the faster one on this model.
    pub async fn device(&mut self, wanted: Backend, loaded: &Loaded) -> Result<Chosen> {
        match wanted {
            Backend::Cpu => Ok(chosen(Device::Cpu, "chosen by hand")),
            Backend::Gpu => match self.gpu().await {
                #[cfg(not(target_arch = "wasm32"))]
                Ok(Device::Gpu(gpu)) if !multiplies(&gpu) => {
                    let found = format!("f16 on {}", gpu.label());
                    Err(Error::input("--arithmetic", found, "f32: this GPU has no f16"))
                }
                Ok(device) => Ok(chosen(device, "chosen by hand")),
                Err(why) => Err(Error::Gpu(why)),
            },
            Backend::Auto => match self.gpu().await {
                Err(why) => Ok(chosen(Device::Cpu, &without_gpu(&why))),
                Ok(Device::Gpu(gpu)) if gpu.is_software() => {
                    let why = format!(
                        "the only GPU is {}, a program running on the CPU itself",
                        gpu.label()
                    );
                    Ok(chosen(Device::Cpu, &why))
                }
                Ok(gpu) => self.probe(gpu, loaded).await,
            },
        }
    }

    async fn gpu(&mut self) -> std::result::Result<Device, String> {
        if let GpuSlot::Open(Device::Gpu(gpu)) = &self.gpu
            && gpu.lost_reason().is_some()
        {
            self.gpu = GpuSlot::NotTried;
            self.cache = Cache::default();
            self.probed = None;
        }
        if matches!(self.gpu, GpuSlot::NotTried) {
            self.gpu = match Device::open_gpu().await {
                Ok(device) => GpuSlot::Open(device),
                Err(Error::Gpu(why)) => GpuSlot::Unusable(why),
                Err(other) => GpuSlot::Unusable(other.to_string()),
            };
            #[cfg(not(target_arch = "wasm32"))]
            if let GpuSlot::Open(Device::Gpu(gpu)) = &self.gpu {
                super::tuned::tune(gpu, super::tuned::place().as_deref()).await;
            }
        }
        match &self.gpu {
            GpuSlot::Open(device) => Ok(device.clone()),
            GpuSlot::Unusable(why) => Err(why.clone()),
            GpuSlot::NotTried => Err("not tried".into()),
        }
    }

    /// Reads 128 tokens on both devices, twice; the second time counts.
    async fn probe(&mut self, gpu: Device, loaded: &Loaded) -> Result<Chosen> {
        let known = self.probed.clone().filter(|(model, _, _)| *model == loaded.number);
        let (_, takes_gpu, why) = match known {
            Some(known) => known,
            None => self.measure(&gpu, loaded).await?,
        };
        Ok(chosen(if takes_gpu { gpu } else { Device::Cpu }, &why))
    }

    async fn measure(&mut self, gpu: &Device, loaded: &Loaded) -> Result<(u64, bool, String)> {
        let (cpu_ms, expected) = probe(&Device::Cpu, loaded).await?;
        let (takes_gpu, why) = match probe(gpu, loaded).await {
            Ok((ms, found)) => match disagreement(&expected, &found) {
                Some(problem) => (false, problem),
                None => (ms < cpu_ms, agreement(ms, cpu_ms)),
            },
            Err(e) => (false, format!("the GPU failed its probe: {e}")),
        };
        let result = (loaded.number, takes_gpu, why);
        self.probed = Some(result.clone());
        Ok(result)
    }

    /// The unpruned model on a device.
    pub fn baseline(
        &mut self,
        device: &Device,
        loaded: &Loaded,
    ) -> Result<(Rc<Model>, Rc<Weights>)> {
        let key = Some((loaded.number, device.kind()));
        if self.cache.key != key {
            self.cache = Cache { key, ..Cache::default() };
        }
        let cache = &mut self.cache;
        let weights = cache.weights.get_or_insert_with(|| Rc::new(loaded.weights_on(device)));
        let weights = weights.clone();
        let model = match &cache.baseline {
            Some(model) => model.clone(),
            None => Rc::new(Model::load(device, &loaded.config, &weights)?),
        };
        cache.baseline = Some(model.clone());
        Ok((model, weights))
    }
}

/// Whether a GPU has the arithmetic that was chosen.
#[cfg(not(target_arch = "wasm32"))]
fn multiplies(gpu: &crate::backend::gpu::Gpu) -> bool {
    crate::arithmetic::current() != crate::arithmetic::Arithmetic::F16 || gpu.has_f16()
}

fn chosen(device: Device, why: &str) -> Chosen {
    Chosen { device, why: why.to_string() }
}

/// For people first; the page folds what follows the line end.
fn without_gpu(why: &str) -> String {
    format!(
        "no GPU can be used here, so the CPU does the work: everything runs, only more slowly. A browser with WebGPU switched on and a driver for the graphics card would change that.\nThe driver's words: {why}"
    )
}

/// Milliseconds of reading 128 tokens the second time, and the hidden rows that came out.
async fn probe(device: &Device, loaded: &Loaded) -> Result<(f64, Vec<f32>)> {
    let model = Model::load(device, &loaded.config, &loaded.weights_on(device))?;
    let ids: Vec<u32> = (0..128).map(|i| i % loaded.config.vocab_size() as u32).collect();
    let (mut ms, mut rows) = (f64::INFINITY, Vec::new());
    for _ in 0..2 {
        let start = now_ms();
        let hidden = model.forward(device, &ids, &mut model.start(device), &mut NoHooks);
        rows = device.read(&hidden).await?;
        ms = now_ms() - start;
    }
    Ok((ms, rows))
}

/// What the check of the GPU against the CPU found where the two agree.
fn agreement(gpu_ms: f64, cpu_ms: f64) -> String {
    let taken = match gpu_ms < cpu_ms {
        true => "is faster with this model, so it does the work",
        false => "is slower with this model, so the CPU does the work",
    };
    format!(
        "the GPU was checked against the CPU on 128 tokens: it computes the same, and {taken} ({gpu_ms:.1} ms against {cpu_ms:.1} ms)"
    )
}

/// Largest difference of a normed hidden value, whose size is about 1, between two right computations in another order:
/// ten times what the tests against transformers see, a tenth of what a wrong kernel gives.
const ACCEPTED: f32 = 0.02;

/// Why the GPU is not to be trusted with this model, if it is not: a driver that computes something else says nothing.
fn disagreement(cpu: &[f32], gpu: &[f32]) -> Option<String> {
    let largest = largest_difference(gpu, cpu);
    if largest <= ACCEPTED {
        return None;
    }
    let what = match largest.is_finite() {
        true => format!("values differ by up to {largest:.2}"),
        false => "some of its values are not numbers".into(),
    };
    Some(format!(
        "the GPU computes something else than the CPU with this model ({what}), so it is not used"
    ))
}

/// First 12 hex digits of some text's hash, for cache keys.
pub(super) fn short_hash(text: &str) -> String {
    sha256_hex(text.as_bytes())[..12].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_computes_something_else_is_not_used_and_the_reason_is_a_sentence() {
        let cpu = [1.0, -2.0, 0.5];
        assert_eq!(disagreement(&cpu, &[1.001, -2.001, 0.5]), None);
        let wrong = disagreement(&cpu, &[1.0, -2.0, 0.9]).expect("0.4 is too much");
        assert!(wrong.contains("differ by up to 0.40") && wrong.contains("not used"), "{wrong}");
        let nan = disagreement(&cpu, &[1.0, f32::NAN, 0.5]).expect("not a number");
        assert!(nan.contains("not numbers"), "{nan}");
        assert!(disagreement(&cpu, &cpu[..2]).is_some());
        assert!(
            agreement(3.0, 9.0).contains("faster") && agreement(9.0, 3.0).contains("the CPU does")
        );
    }
}

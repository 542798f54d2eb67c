//! Speed of whole models on the CPU, natively: `cargo bench --bench models -- FOLDER [--prompt 512] [--decode 32]
//! [--warm 512] [--rounds 3] [--threads 1] [--arithmetic f32|bf16] [--prune SPEC]`.
//!
//! FOLDER holds config.json and model.safetensors; no tokenizer is needed, the prompt is made of seeded ids. Prints one
//! JSON line: CPU seconds (user and system, all threads) and wall seconds of opening the model, of a prefill and of one
//! decoded token (median of the rounds, head included), bytes of weights that a decoded token reads, page faults of a
//! prefill and the peak of resident memory. The weights are mapped, as the command line does it. Before the rounds the
//! first --warm tokens of the prompt (all, unless it is given) are read once. With SPEC (`whittle methods`, for example
//! rtn:bits=8,group=row) the model is pruned or rounded before it is timed, calibrated on seeded ids; the peak of memory
//! is then that of the pruning too.
//! On a machine that others use too, the CPU seconds of one thread say more than the wall clock. Linux only.

#[cfg(target_os = "linux")]
fn main() {
    native::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod native {
    use std::fs::File;
    use std::rc::Rc;
    use std::time::Instant;
    use whittle::Rng;
    use whittle::arithmetic::Arithmetic;
    use whittle::backend::Device;
    use whittle::config::ModelConfig;
    use whittle::method::Setting;
    use whittle::models::{Execution, Model, NoHooks, Wanted, Weights, linears, piece_tokens};
    use whittle::pace::Pace;
    use whittle::prune::{self, Subject};
    use whittle::weights::{Bytes, Checkpoint};

    pub fn main() {
        let args: Vec<String> = std::env::args().collect();
        let text = |name: &str| {
            let at = args.iter().position(|arg| arg == name)?;
            Some(args.get(at + 1).unwrap_or_else(|| panic!("{name}: expected a value behind it")))
        };
        let number = |name: &str, default: usize| {
            text(name).map_or(default, |n| n.parse().expect("a whole number"))
        };
        whittle::threads::keep_freed_memory();
        let Some(folder) = args.get(1).filter(|arg| !arg.starts_with("--")) else {
            println!("models: name a folder with config.json and model.safetensors");
            return;
        };
        let [prompt, tokens, rounds] =
            [number("--prompt", 512), number("--decode", 32), number("--rounds", 3)];
        let warm = number("--warm", prompt).clamp(1, prompt);
        whittle::threads::set(Some(number("--threads", 1))).expect("a number of threads");
        let arithmetic = match text("--arithmetic").map_or("f32", String::as_str) {
            "f32" => Arithmetic::F32,
            "bf16" => Arithmetic::Bf16,
            other => panic!("--arithmetic {other}: expected f32 or bf16"),
        };
        whittle::arithmetic::set(arithmetic).expect("a processor that has it");
        let mut loaded = None;
        let load = cost(|| loaded = Some(open(folder)));
        let mut loaded = loaded.expect("it was opened");
        let spec = text("--prune");
        if let Some(spec) = spec {
            loaded = pruned(loaded, spec);
        }
        let Loaded { config, weights, model } = loaded;
        let mut rng = Rng::new(1);
        let ids: Vec<u32> = (0..prompt).map(|_| rng.below(config.vocab_size()) as u32).collect();
        let (mut prefills, mut steps) = (Vec::new(), Vec::new());
        for round in 0..=rounds.max(1) {
            let read = if round == 0 { &ids[..warm] } else { &ids };
            let mut state = model.start(&Device::Cpu);
            prefills.push(cost(|| {
                let mut hidden = None;
                for piece in read.chunks(piece_tokens(&Device::Cpu)) {
                    let (ids, last) = (Device::Cpu.ids(piece), Wanted::LastRow);
                    let (device, hooks) = (&Device::Cpu, &mut NoHooks);
                    hidden = Some(model.forward_ids(device, &ids, &mut state, hooks, last));
                }
                let hidden = hidden.expect("a prompt has a token");
                model.logits(&Device::Cpu, hidden.row_range(hidden.rows() - 1, 1));
            }));
            let decoded = cost(|| {
                for id in &ids[..tokens] {
                    let hidden = model.forward(&Device::Cpu, &[*id], &mut state, &mut NoHooks);
                    model.logits(&Device::Cpu, &hidden);
                }
            });
            steps.push(decoded.over(tokens));
        }
        let (prefill, step) = (median(&mut prefills), median(&mut steps));
        let line = serde_json::json!({
            "model": folder,
            "prompt": prompt,
            "threads": whittle::threads::count(),
            "arithmetic": arithmetic.id(),
            "prune": spec,
            "read_mb": bytes_per_token(&config, &weights, &model) as f64 / 1e6,
            "load_cpu_s": load.cpu_s,
            "load_s": load.wall_s,
            "prefill_cpu_s": prefill.cpu_s,
            "prefill_s": prefill.wall_s,
            "decode_cpu_ms": step.cpu_s * 1e3,
            "decode_ms": step.wall_s * 1e3,
            "prefill_faults": prefill.faults,
            "peak_mb": usage().ru_maxrss as f64 / 1e3,
        });
        println!("{line}");
    }

    struct Loaded {
        config: ModelConfig,
        weights: Weights,
        model: Model,
    }

    fn open(folder: &str) -> Loaded {
        let file = |name: &str| {
            File::open(format!("{folder}/{name}")).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let config = std::io::read_to_string(file("config.json")).expect("text");
        let config = ModelConfig::parse(config.as_bytes()).expect("a configuration");
        let name = "model.safetensors";
        let mapped = Bytes::map(&file(name)).expect("a file that can be mapped");
        let checkpoint = Checkpoint::open(vec![(name.into(), mapped)]).expect("weights");
        let weights = Weights::new(Rc::new(checkpoint));
        let model = Model::load(&Device::Cpu, &config, &weights).expect("a model");
        Loaded { config, weights, model }
    }

    /// The model as a SPEC leaves it, multiplied as it asks.
    fn pruned(dense: Loaded, spec: &str) -> Loaded {
        let setting = Setting::parse(spec, &prune::abouts()).expect("a SPEC").expect("a method");
        let Loaded { config, weights, model } = &dense;
        let subject = Subject { device: &Device::Cpu, config, weights, dense: model };
        let mut rng = Rng::new(2);
        let mut ids = || (0..64).map(|_| rng.below(config.vocab_size()) as u32).collect();
        let sequences = [ids(), ids()];
        let (mut kept, mut hear) = (None, |_: usize, _: usize| {});
        let pace = Pace::default();
        let work = prune::prune(&subject, &sequences, &setting, &mut kept, &pace, &mut hear);
        let pruned = pollster::block_on(work).expect("it can be pruned");
        let execution = match setting.knobs().any(|(id, value)| id == "run" && value.is("packed")) {
            true => Execution::Packed,
            false => Execution::Dense,
        };
        let mut weights = weights.with_edits(pruned.edits).executed(execution);
        let mut config = config.clone();
        if let Some(smaller) = pruned.smaller {
            weights = weights.with_layers(&smaller.layers);
            config = smaller.config;
        }
        let model = Model::load(&Device::Cpu, &config, &weights).expect("what is left of a model");
        Loaded { config, weights, model }
    }

    /// Of the linear layers, as they are run, and of the head.
    fn bytes_per_token(config: &ModelConfig, weights: &Weights, model: &Model) -> usize {
        let layers = linears(config);
        let layers = layers.iter().filter_map(|linear| weights.loaded(&linear.name));
        model.head().bytes() + layers.map(|matrix| matrix.bytes_per_token()).sum::<usize>()
    }

    #[derive(Clone, Copy)]
    struct Cost {
        cpu_s: f64,
        wall_s: f64,
        faults: f64,
    }

    impl Cost {
        fn over(self, n: usize) -> Cost {
            let n = n as f64;
            Cost { cpu_s: self.cpu_s / n, wall_s: self.wall_s / n, faults: self.faults / n }
        }
    }

    /// The middle one by CPU time, the first (cold) left out.
    fn median(costs: &mut Vec<Cost>) -> Cost {
        costs.remove(0);
        costs.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
        costs[costs.len() / 2]
    }

    fn cost(work: impl FnOnce()) -> Cost {
        let (before, start) = (usage(), Instant::now());
        work();
        let (after, wall_s) = (usage(), start.elapsed().as_secs_f64());
        let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
        let cpu = |u: &libc::rusage| seconds(u.ru_utime) + seconds(u.ru_stime);
        let faults = (after.ru_minflt - before.ru_minflt) as f64;
        Cost { cpu_s: cpu(&after) - cpu(&before), wall_s, faults }
    }

    fn usage() -> libc::rusage {
        // SAFETY: the call fills in the structure that it is given.
        unsafe {
            let mut usage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut usage);
            usage
        }
    }
}

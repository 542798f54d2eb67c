//! Speed of whole models on the CPU, natively: `cargo bench --bench models -- FOLDER [--prompt 512] [--decode 32]
//! [--rounds 3] [--threads 1]`.
//!
//! FOLDER holds config.json and model.safetensors; no tokenizer is needed, the prompt is made of seeded ids. Prints one
//! JSON line: CPU seconds (user and system, all threads) and wall seconds of opening the model, of a prefill and of one
//! decoded token (median of the rounds, head included), page faults of a prefill and the peak of resident memory.
//! On a machine that others use too, the CPU seconds of one thread say more than the wall clock. Linux only.

#[cfg(target_os = "linux")]
fn main() {
    native::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod native {
    use std::rc::Rc;
    use std::time::Instant;
    use whittle::Rng;
    use whittle::backend::Device;
    use whittle::config::ModelConfig;
    use whittle::models::{Model, NoHooks, Weights};
    use whittle::weights::Checkpoint;

    pub fn main() {
        let args: Vec<String> = std::env::args().collect();
        let number = |name: &str, default: usize| {
            let at = args.iter().position(|arg| arg == name);
            at.map_or(default, |i| args[i + 1].parse().expect("a whole number"))
        };
        whittle::threads::keep_freed_memory();
        let Some(folder) = args.get(1).filter(|arg| !arg.starts_with("--")) else {
            println!("models: name a folder with config.json and model.safetensors");
            return;
        };
        let [prompt, tokens, rounds] =
            [number("--prompt", 512), number("--decode", 32), number("--rounds", 3)];
        whittle::threads::set(Some(number("--threads", 1))).expect("a number of threads");
        let mut loaded = None;
        let load = cost(|| loaded = Some(open(folder)));
        let (config, model) = loaded.expect("it was opened");
        let mut rng = Rng::new(1);
        let ids: Vec<u32> = (0..prompt).map(|_| rng.below(config.vocab_size()) as u32).collect();
        let (mut prefills, mut steps) = (Vec::new(), Vec::new());
        for _ in 0..=rounds {
            let mut state = model.start(&Device::Cpu);
            prefills.push(cost(|| {
                let hidden = model.forward(&Device::Cpu, &ids, &mut state, &mut NoHooks);
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

    fn open(folder: &str) -> (ModelConfig, Model) {
        let file = |name: &str| {
            std::fs::read(format!("{folder}/{name}")).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let config = ModelConfig::parse(&file("config.json")).expect("a configuration");
        let name = "model.safetensors";
        let checkpoint = Checkpoint::open(vec![(name.into(), file(name))]).expect("weights");
        let weights = Weights::new(Rc::new(checkpoint));
        let model = Model::load(&Device::Cpu, &config, &weights).expect("a model");
        (config, model)
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

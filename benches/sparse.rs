//! Products of one row (decoding) with packed and quantised weights against dense ones: `cargo bench --bench sparse`.
//!
//! Every form has its own copies of a matrix, together at least so many bytes as stand beside its shape, and walks over all
//! of them: so many that no weight waits in a cache for its turn, or, for the smallest shape, those of a bundled model. A round visits the forms in order and then backwards; a ratio is formed within
//! each round against dense f16 and shown as the median with the middle half of the rounds, and
//! once more from the fastest rounds of either, which other programs disturb least. One JSON line a form.
//! Times are CPU times on Linux. Arguments: `cpu` or `gpu` (default both), a number of rounds.

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    native::main();
}

#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use half::f16;
    use whittle::Rng;
    use whittle::backend::{Bits, Blocks, Device, Format, Matrix, Tensor, WeightValues};
    use whittle::kernels::matmul::matmul;
    use whittle::weights::Dtype;

    /// More than twice the last level cache of common machines.
    const COLD: usize = 80 << 20;
    /// Outputs and inputs, and the bytes of a set.
    const SHAPES: &[((usize, usize), usize)] =
        &[((384, 128), 1 << 20), ((3072, 768), COLD), ((768, 3072), COLD), ((4096, 4096), COLD)];
    const FORMS: &[&str] = &[
        "dense f16",
        "dense f32",
        "2:4 f16",
        "2:4 f32",
        "bitmask 50 % f16",
        "bitmask 60 % f16",
        "bitmask 70 % f16",
        "bitmask 80 % f16",
        "bitmask 50 % f32",
        "bitmask 70 % f32",
        "bitmask 80 % f32",
        "int8 row",
        "int8 64",
        "int4 row",
        "int4 32",
        "int4 64",
    ];

    pub fn main() {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let has = |word: &str| arguments.iter().any(|a| a == word);
        let rounds = arguments.iter().find_map(|a| a.parse().ok());
        if !has("gpu") {
            measure(&Device::Cpu, rounds.unwrap_or(15));
        }
        if !has("cpu") {
            match pollster::block_on(Device::open_gpu()) {
                Ok(gpu) => measure(&gpu, rounds.unwrap_or(5)),
                Err(e) => println!("no GPU: {e}"),
            }
        }
    }

    /// Copies of one matrix in one form.
    struct Set {
        name: &'static str,
        matrices: Vec<Matrix>,
        bytes: usize,
    }

    fn measure(device: &Device, rounds: usize) {
        for &((outs, depth), bytes) in SHAPES {
            let mut rng = Rng::new(1);
            let weights = rng.normals(outs * depth, 0.05);
            let x = device.tensor(1, depth, &rng.normals(depth, 1.0));
            let sets: Vec<Set> = FORMS
                .iter()
                .map(|name| set(device, name, (outs, depth), bytes, &weights))
                .collect();
            let mut times = vec![Vec::new(); sets.len()];
            for round in 0..=rounds {
                let mut seconds = vec![0.0; sets.len()];
                for i in (0..sets.len()).chain((0..sets.len()).rev()) {
                    seconds[i] += visit(device, &x, &sets[i]) / (2 * sets[i].matrices.len()) as f64;
                }
                if round > 0 {
                    times.iter_mut().zip(seconds).for_each(|(list, s)| list.push(s));
                }
            }
            for (set, list) in sets.iter().zip(&times) {
                report(device, (outs, depth), set, list, &times[0]);
            }
        }
    }

    /// Seconds of one product with every matrix of a set.
    fn visit(device: &Device, x: &Tensor, set: &Set) -> f64 {
        let start = seconds();
        for w in &set.matrices {
            std::hint::black_box(matmul(device, x, w, None, None));
        }
        pollster::block_on(device.finish()).expect("the device works");
        seconds() - start
    }

    /// CPU time of this process (a GPU that is a program runs inside it), so that other programs count little.
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    fn seconds() -> f64 {
        unsafe extern "C" {
            fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
        }
        const PROCESS_CPU: i32 = 2;
        let mut time = [0; 2];
        // SAFETY: `timespec` is two 64-bit numbers on 64-bit Linux.
        let result = unsafe { clock_gettime(PROCESS_CPU, &mut time) };
        assert_eq!(result, 0, "the clock of this process");
        time[0] as f64 + time[1] as f64 * 1e-9
    }

    /// Time of the wall.
    #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
    fn seconds() -> f64 {
        static START: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        START.elapsed().as_secs_f64()
    }

    fn report(
        device: &Device,
        (outs, depth): (usize, usize),
        set: &Set,
        times: &[f64],
        dense: &[f64],
    ) {
        let sorted = |mut list: Vec<f64>| {
            list.sort_by(f64::total_cmp);
            list
        };
        let least = |list: &[f64]| list.iter().copied().fold(f64::INFINITY, f64::min);
        let seconds = sorted(times.to_vec());
        let ratios = sorted(dense.iter().zip(times).map(|(d, t)| d / t).collect());
        let n = ratios.len();
        let three = [ratios[n / 2], ratios[n / 4], ratios[n - 1 - n / 4]];
        let three = three.map(|r| (r * 1e3).round() / 1e3);
        let line = serde_json::json!({
            "device": device.label(),
            "weights": format!("{outs}x{depth}"),
            "form": set.name,
            "matrices": set.matrices.len(),
            "bytes": set.bytes,
            "us": (seconds[n / 2] * 1e8).round() / 100.0,
            "gb_per_s": (set.bytes as f64 / seconds[n / 2] / 1e7).round() / 100.0,
            "times_as_fast_as_dense_f16": three,
            "fastest_against_fastest": (least(dense) / least(times) * 1e3).round() / 1e3,
        });
        println!("{line}");
    }

    fn set(
        device: &Device,
        name: &'static str,
        shape: (usize, usize),
        least: usize,
        weights: &[f32],
    ) -> Set {
        let mut weights = weights.to_vec();
        let words: Vec<&str> = name.split(' ').collect();
        match words[0] {
            "2:4" => keep_two_of_four(&mut weights),
            "bitmask" => {
                let share: f64 = words[1].parse().expect("a percentage");
                keep_largest(&mut weights, shape.1, share / 100.0);
            }
            _ => {}
        }
        let halves: Vec<f16> = weights.iter().map(|&w| f16::from_f32(w)).collect();
        let values = match words.last() {
            Some(&"f16") => WeightValues::F16(&halves),
            _ => WeightValues::F32(&weights),
        };
        let dense = device.matrix(shape.0, shape.1, values);
        let make = || match words[0] {
            "dense" => device.matrix(shape.0, shape.1, values),
            "int8" | "int4" => {
                Matrix::quantised(device, &blocks(words[0], words[1], shape), Dtype::F16)
            }
            "2:4" => dense.clone().pack_as(device, Some(Format::TwoOfFour), values),
            _ => dense.clone().pack_as(device, Some(Format::Bitmask), values),
        };
        let first = make();
        let is_packed = first.packed().is_some() || first.blocks().is_some();
        assert_eq!(is_packed, words[0] != "dense", "{name}: packed");
        let bytes = first.bytes_per_token();
        let more = (1..least.div_ceil(bytes)).map(|_| make());
        Set { name, matrices: std::iter::once(first).chain(more).collect(), bytes }
    }

    /// Random codes: a product takes as long for any.
    fn blocks(bits: &str, group: &str, (rows, cols): (usize, usize)) -> Blocks {
        let bits = if bits == "int8" { Bits::Eight } else { Bits::Four };
        let group = group.parse().unwrap_or(cols);
        let mut rng = Rng::new(2);
        let most = usize::from(bits.most()) + 1;
        let mut code = || (rng.below(most) as i32 - most as i32 / 2) as i8;
        let codes = (0..rows * cols).map(|_| code()).collect();
        let scales = vec![f16::from_f32(0.01); rows * cols.div_ceil(group)];
        Blocks { rows, cols, bits, group, codes, scales, zeros: Vec::new() }
    }

    fn keep_two_of_four(weights: &mut [f32]) {
        for group in weights.chunks_exact_mut(4) {
            let mut order = [0, 1, 2, 3];
            order.sort_by(|&a, &b| group[a].abs().total_cmp(&group[b].abs()));
            group[order[0]] = 0.0;
            group[order[1]] = 0.0;
        }
    }

    /// Zeroes this share of every row, the smallest.
    fn keep_largest(weights: &mut [f32], cols: usize, share: f64) {
        for row in weights.chunks_exact_mut(cols) {
            let mut sizes: Vec<f32> = row.iter().map(|w| w.abs()).collect();
            sizes.sort_by(f32::total_cmp);
            let limit = sizes[(cols as f64 * share).ceil() as usize];
            row.iter_mut().filter(|w| w.abs() < limit).for_each(|w| *w = 0.0);
        }
    }
}

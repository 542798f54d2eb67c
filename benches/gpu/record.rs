//! The clock, the time that is left, and where figures go.

use serde_json::Value;
use std::io::Write;
use std::time::Instant;
use whittle::backend::Device;
use whittle::backend::gpu::Gpu;

/// Launches in one timed batch; the device takes fewer than 4,096.
const MOST_LAUNCHES: usize = 1000;

pub struct Bench {
    pub device: Device,
    /// Small shapes and few repetitions: a rehearsal where the GPU is a program on the CPU.
    pub quick: bool,
    start: Instant,
    seconds: f64,
    file: String,
}

impl Bench {
    pub fn new(device: Device, quick: bool, seconds: f64, file: &str) -> Self {
        Self { device, quick, start: Instant::now(), seconds, file: file.into() }
    }

    pub fn gpu(&self) -> &Gpu {
        match &self.device {
            Device::Gpu(gpu) => gpu,
            Device::Cpu => unreachable!("open_gpu gives a GPU"),
        }
    }

    pub fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Whether `share` of the time is used up; says so for what is left out.
    pub fn is_late(&self, share: f64, what: &str) -> bool {
        let late = self.elapsed() > self.seconds * share;
        if late {
            self.line(
                serde_json::json!({ "part": "left out", "what": what, "at": self.elapsed() }),
            );
        }
        late
    }

    /// One figure: to the file at once, and to the terminal.
    pub fn line(&self, value: Value) {
        println!("{:6.1} {value}", self.elapsed());
        let open = std::fs::File::options().append(true).create(true).open(&self.file);
        if let Err(problem) = open.and_then(|mut file| writeln!(file, "{value}")) {
            eprintln!("{}: {problem}", self.file);
        }
    }

    /// Median milliseconds of one call of `body`, by the GPU's clock: as many calls as last about 10 ms, five times.
    /// The first call (shaders are compiled) does not count. NaN where the GPU failed, which is printed.
    pub fn device_ms(&self, body: &mut dyn FnMut()) -> f64 {
        let mut once = |calls: usize| {
            let start = Instant::now();
            let record = || (0..calls).for_each(|_| body());
            match pollster::block_on(self.gpu().device_ms(record)) {
                Ok(ms) => ms.unwrap_or(start.elapsed().as_secs_f64() * 1e3) / calls as f64,
                Err(problem) => {
                    eprintln!("failed: {problem}");
                    f64::NAN
                }
            }
        };
        let before = self.gpu().dispatches();
        once(1);
        let launches = (self.gpu().dispatches() - before).max(1) as usize;
        let single = once(1);
        if self.quick || !single.is_finite() {
            return single;
        }
        let calls = ((10.0 / single).ceil() as usize).min(MOST_LAUNCHES / launches).max(1);
        median((0..5).map(|_| once(calls)).collect())
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Three significant digits: no clock here is better.
pub fn round(x: f64) -> Value {
    if !x.is_finite() {
        return Value::Null;
    }
    format!("{x:.2e}").parse::<f64>().map_or(Value::Null, Value::from)
}

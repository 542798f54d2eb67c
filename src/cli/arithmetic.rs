//! `--arithmetic`: what many rows are multiplied with.

use crate::arithmetic::{self, Arithmetic};
use crate::session::spec::Backend;
use crate::{Error, Result};
use clap::ValueEnum;

/// The reference, or what is faster where the processor has it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArithmeticArg {
    F32,
    Bf16,
    F16,
}

impl From<ArithmeticArg> for Arithmetic {
    fn from(arg: ArithmeticArg) -> Arithmetic {
        match arg {
            ArithmeticArg::F32 => Arithmetic::F32,
            ArithmeticArg::Bf16 => Arithmetic::Bf16,
            ArithmeticArg::F16 => Arithmetic::F16,
        }
    }
}

/// Takes on this arithmetic and gives the backend that has it: bf16 runs on the CPU alone, f16 on a GPU alone.
///
/// Errors: bf16 on a GPU, or where the processor has no instruction for it; f16 on the CPU.
pub fn choose(arithmetic: ArithmeticArg, backend: Backend) -> Result<Backend> {
    let refused = |found: &str, expected: &str| Err(Error::input("--arithmetic", found, expected));
    let backend = match (arithmetic, backend) {
        (ArithmeticArg::Bf16, Backend::Gpu) => {
            let expected = "--backend cpu: kernels on a GPU multiply in f32 or f16";
            return refused("bf16 on a GPU", expected);
        }
        (ArithmeticArg::F16, Backend::Cpu) => {
            let expected = "--backend gpu: the CPU multiplies in f32 or bf16";
            return refused("f16 on the CPU", expected);
        }
        (ArithmeticArg::F32, backend) => backend,
        (ArithmeticArg::Bf16, _) => Backend::Cpu,
        (ArithmeticArg::F16, _) => Backend::Gpu,
    };
    arithmetic::set(arithmetic.into())?;
    Ok(backend)
}

/// The same for what prints no name of a device: a sentence where it is not the reference.
pub fn sentence() -> Option<String> {
    let id = match arithmetic::current() {
        Arithmetic::F32 => return None,
        other => other.id(),
    };
    Some(format!(
        "Products of many rows were made in {id}, not in f32: these are not the reference's figures."
    ))
}

//! Rows that are made one by one, each from rows of the same number: norms, gates, activations, convolutions on the CPU.
//!
//! Native threads share the rows out. A row is computed in the same way wherever it stands, so their number changes no bit.

#[cfg(not(target_arch = "wasm32"))]
use super::simd::widest;
#[cfg(not(target_arch = "wasm32"))]
use crate::threads;

/// `[rows, cols]`: `make` is given the number of a row and zeros for it, and is compiled for the widest vectors of this
/// machine (see [`widest`]); it must be `#[inline(always)]`, with loops instead of `for_each`, which need not be inlined.
#[cfg(not(target_arch = "wasm32"))]
#[inline(always)]
pub fn each_row(rows: usize, cols: usize, make: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    threads::rows(rows, cols, |range, y| {
        widest(
            #[inline(always)]
            || {
                for (t, row) in range.zip(y.chunks_exact_mut(cols.max(1))) {
                    make(t, row);
                }
            },
        );
    })
}

/// The same in the page, where a loop for all kernels is less to load.
#[cfg(target_arch = "wasm32")]
pub fn each_row(rows: usize, cols: usize, make: impl Fn(usize, &mut [f32])) -> Vec<f32> {
    one_by_one(rows, cols, &make)
}

#[cfg(target_arch = "wasm32")]
#[inline(never)]
fn one_by_one(rows: usize, cols: usize, make: &dyn Fn(usize, &mut [f32])) -> Vec<f32> {
    let mut y = vec![0.0; rows * cols];
    for (t, row) in y.chunks_exact_mut(cols.max(1)).enumerate() {
        make(t, row);
    }
    y
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use crate::Rng;
    use crate::backend::{Device, Tensor};
    use crate::kernels::conv1d::conv1d_silu;
    use crate::kernels::gated_rmsnorm::gated_rmsnorm;
    use crate::kernels::gelu::{Gelu, gelu};
    use crate::kernels::layernorm::layernorm;
    use crate::kernels::random;
    use crate::kernels::rmsnorm::rmsnorm;
    use crate::kernels::rotary::{frequencies, rotary};
    use crate::kernels::silu_gate::silu_gate;
    use crate::kernels::swiglu::swiglu;

    /// Rows and columns: enough values for threads to be used; no number of parts divides the rows.
    const ROWS: usize = 331;
    const COLS: usize = 420;

    #[test]
    fn no_number_of_threads_changes_a_bit_of_a_row() {
        let d = &Device::Cpu;
        let mut rng = Rng::new(19);
        let mut tensor = |rows, cols| random(d, &mut rng, rows, cols);
        let [x, z] = [(); 2].map(|()| tensor(ROWS, COLS + 7));
        let (x, z) = (x.columns(2, COLS), z.columns(5, COLS));
        let dense = tensor(ROWS, COLS);
        let [w, b] = [(); 2].map(|()| tensor(1, COLS));
        let (taps, state) = (tensor(COLS, 4), tensor(3, COLS));
        let positions = d.ids(&(7..7 + ROWS as u32).collect::<Vec<_>>());
        let turns = d.tensor(1, 10, &frequencies(20));
        let made = || -> Vec<Tensor> {
            let (y, next) = conv1d_silu(d, x, &taps, Some(&b), &state);
            let mut all = vec![y, next, rmsnorm(d, x, &w, 1e-5), layernorm(d, x, &w, &b, 1e-5)];
            all.extend([gated_rmsnorm(d, x, z, &w, 1e-5, 84), silu_gate(d, x, z), swiglu(d, x, z)]);
            all.extend([Gelu::Erf, Gelu::Tanh].map(|kind| gelu(d, &dense, kind)));
            all.push(rotary(d, x, &positions, &turns, 42));
            all
        };
        let [one, two, three] = [1, 2, 3].map(|count| {
            crate::threads::set(Some(count)).unwrap();
            made()
        });
        crate::threads::set(Some(1)).unwrap();
        for (i, one) in one.iter().enumerate() {
            assert!(one.cpu().iter().any(|&v| v != 0.0), "kernel {i} computes");
            assert!(one.cpu() == two[i].cpu() && one.cpu() == three[i].cpu(), "kernel {i}");
        }
    }
}

//! Products of many rows in f32 (AVX-512, or AVX2 with FMA), for row-major weights.
//!
//! The activations are packed once: the rows of a register tile side by side, input by input. The weights of [`OUTS`]
//! outputs at a time are packed into panels, f16 ones widened on the way: the outputs of a tile side by side, input by
//! input. A block of [`DEPTH`] inputs of them stays in the second level cache, that of a tile's rows in the first. Six rows
//! by two vectors of sums (eight by three with AVX-512) then stay in registers over all inputs of a block.
//! An output's sum is made in the order of the inputs, block by block, with one rounding a product, whatever the tile's
//! height and the vector's width: any number of rows or threads gives a row the same bits.
//!
//! A trial on an EPYC with AVX2 against the `gemm` crate, products of SmolLM2-135M and the Mambas, f16 weights: 8 rows twice
//! as fast, 32 rows 1.5 to 1.7 times, 64 rows 1.2, 512 rows 1.0 to 1.3; f32 weights: 1.3 to 1.5 with 8 rows, 1.0 to 1.2 with
//! 512. With AVX-512 the bits are the same (run in an emulator); how fast that is has not been measured.

#![allow(clippy::needless_range_loop)]

use super::Rows;
use crate::kernels::simd::{self, Kernel, Vector};
use half::f16;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Fewest rows. Fewer read the weights longer than they multiply.
const FEWEST_ROWS: usize = 5;
/// Outputs that are packed at a time, whole panels of 32 and of 48: 96 * 320 * 4 = 120 KiB.
pub const OUTS: usize = 96;
/// Most inputs of a block.
const DEPTH: usize = 320;
/// Rows and inputs of a block that is transposed in registers; most rows of a tile.
const SIDE: usize = 8;
/// Outputs of the widest tile.
const WIDEST: usize = 48;
/// Inputs that a tile takes at a time: short of branches, it reaches the processor's peak.
const UNROLLED: usize = 4;

/// Whether products of so many rows are made here.
pub fn is_for(rows: usize) -> bool {
    rows >= FEWEST_ROWS && most_rows() > 0
}

/// Rows of a tile on this machine; none where it has no FMA.
fn most_rows() -> usize {
    struct MostRows;
    impl Kernel for MostRows {
        type Output = usize;
        #[inline(always)]
        fn run<V: Vector>(self) -> usize {
            match V::LANES {
                16 => 8,
                8 => 6,
                _ => 0,
            }
        }
    }
    simd::run(MostRows)
}

/// Numbers that are packed as f32.
pub trait Weight: Copy {
    /// # Safety
    /// The processor must have AVX2 and F16C, and `from` be valid for reading [`SIDE`] numbers.
    unsafe fn eight(from: *const Self) -> __m256;
    /// One of them.
    fn one(self) -> f32;
}

impl Weight for f32 {
    #[inline(always)]
    unsafe fn eight(from: *const f32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    fn one(self) -> f32 {
        self
    }
}

impl Weight for f16 {
    #[inline(always)]
    unsafe fn eight(from: *const f16) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    fn one(self) -> f32 {
        simd::widened(self)
    }
}

/// Rows of x, packed.
pub struct Activations {
    rows: usize,
    cols: usize,
    /// Rows of a tile.
    most: usize,
    /// `[cols / depth, tiles, inputs of the block, rows of the tile]`, and what a store of [`SIDE`] reaches beyond.
    values: Vec<f32>,
}

impl Activations {
    /// Packs x. The processor must have the instructions ([`is_for`]).
    pub fn new(x: Rows<'_>) -> Activations {
        let most = most_rows();
        assert!(most > 0, "a processor with AVX2 and FMA");
        x.check();
        let size = x.rows * x.cols;
        let mut values = Vec::with_capacity(size + SIDE);
        let places = &mut values.spare_capacity_mut()[..size + SIDE];
        places[size..].fill(MaybeUninit::new(0.0));
        for inputs in blocks(x.cols) {
            for tile in tiles(x.rows, most) {
                let from = &x.values[tile.start * x.stride + inputs.start..];
                let to = &mut places[inputs.start * x.rows + tile.start * inputs.len()..];
                // SAFETY: the processor has the instructions.
                unsafe { transpose(from, x.stride, (tile.len(), inputs.len()), to, tile.len()) };
            }
        }
        // SAFETY: every input of every tile was set, and what is behind them.
        unsafe { values.set_len(size + SIDE) };
        Activations { rows: x.rows, cols: x.cols, most, values }
    }

    /// Adds x Wᵀ for row-major weights `[outs, cols]` to `outs` columns of y `[rows, ..]`, whose rows are `stride` apart.
    pub fn accumulate<T: Weight>(&self, weights: &[T], outs: usize, y: &mut [f32], stride: usize) {
        assert_eq!(weights.len(), outs * self.cols, "weights");
        if self.rows == 0 || outs == 0 || self.cols == 0 {
            return;
        }
        assert!(stride >= outs && y.len() >= (self.rows - 1) * stride + outs, "results");
        simd::run(Product { x: self, weights, outs, y: places(y), stride, is_set: true });
    }

    /// Sets y `[rows, outs]`, every value of it, to x Wᵀ for row-major weights `[outs, cols]`; there must be inputs.
    pub fn set<T: Weight>(&self, weights: &[T], outs: usize, y: &mut [MaybeUninit<f32>]) {
        assert_eq!(weights.len(), outs * self.cols, "weights");
        assert!(self.cols > 0 && y.len() == self.rows * outs, "results");
        simd::run(Product { x: self, weights, outs, y, stride: outs, is_set: false });
    }
}

/// Numbers as places for numbers.
fn places(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: both are laid out alike; those who get them here write nothing but numbers.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<f32>]) }
}

/// The inputs in blocks of about one size, whole [`SIDE`]s but for the last.
fn blocks(cols: usize) -> impl Iterator<Item = Range<usize>> {
    let depth = cols.div_ceil(cols.div_ceil(DEPTH).max(1)).next_multiple_of(SIDE).max(SIDE);
    (0..cols).step_by(depth).map(move |from| from..cols.min(from + depth))
}

/// The rows in tiles of `most`; what is left over shares with the last of them, so that none is very low.
fn tiles(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let left = rows - from;
        let height =
            if left >= 2 * most { most } else { left.div_ceil(left.div_ceil(most).max(1)) };
        from += height;
        (height > 0).then(|| from - height..from)
    })
}

struct Product<'a, T> {
    x: &'a Activations,
    weights: &'a [T],
    outs: usize,
    y: &'a mut [MaybeUninit<f32>],
    stride: usize,
    /// Whether the products are added to what y holds; else the first inputs' are stored there.
    is_set: bool,
}

impl<T: Weight> Kernel for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        // The heights are those of `most_rows`. The compiler drops what a width does not reach.
        match V::LANES {
            16 => self.panels::<V, 3>(),
            8 => self.panels::<V, 2>(),
            _ => unreachable!("activations are packed where there are such vectors"),
        }
    }
}

impl<T: Weight> Product<'_, T> {
    /// All outputs, `N` vectors of them a panel.
    #[inline(always)]
    fn panels<V: Vector, const N: usize>(mut self) {
        let (cols, width) = (self.x.cols, N * V::LANES);
        let mut packed = vec![0.0; OUTS.min(self.outs.next_multiple_of(width)) * DEPTH.min(cols)];
        let mut out = 0;
        while out < self.outs {
            let n = OUTS.min(self.outs - out);
            let weights = &self.weights[out * cols..(out + n) * cols];
            for inputs in blocks(cols) {
                // SAFETY: the processor has the instructions, as V shows.
                unsafe { pack(weights, cols, inputs.clone(), width, &mut packed) };
                self.multiply::<V, N>(&packed, out..out + n, inputs);
            }
            out += n;
        }
    }

    /// Adds the products of these inputs with these outputs, which are packed. A tile's rows stay in the first cache.
    #[inline(always)]
    fn multiply<V: Vector, const N: usize>(
        &mut self,
        packed: &[f32],
        outs: Range<usize>,
        inputs: Range<usize>,
    ) {
        let (width, depth) = (N * V::LANES, inputs.len());
        for rows in tiles(self.x.rows, self.x.most) {
            let x = &self.x.values[inputs.start * self.x.rows + rows.start * depth..];
            let x = &x[..rows.len() * depth];
            let mut out = outs.start;
            while out < outs.end {
                let panel = &packed[(out - outs.start) * depth..][..width * depth];
                let n = width.min(outs.end - out);
                let y = &mut self.y[rows.start * self.stride + out..];
                assert!(y.len() >= (rows.len() - 1) * self.stride + n, "results");
                let (x, panel, y) = (x.as_ptr(), panel.as_ptr(), y.as_mut_ptr().cast());
                let adds = self.is_set || inputs.start > 0;
                let tile = Tile { x, panel, depth, y, stride: self.stride, n, adds };
                // SAFETY: the slices have what a tile of so many rows reads and writes.
                unsafe { tile.of_height::<V, N>(rows.len()) };
                out += width;
            }
        }
    }
}

/// What a register tile multiplies.
struct Tile {
    /// `[depth, rows]`
    x: *const f32,
    /// `[depth, width]`
    panel: *const f32,
    depth: usize,
    /// Its rows are `stride` apart.
    y: *mut f32,
    stride: usize,
    /// Outputs of the panel that y has.
    n: usize,
    /// To what is in y; else y holds nothing yet.
    adds: bool,
}

impl Tile {
    /// # Safety
    /// As for [`Tile::run`], with so many rows.
    #[inline(always)]
    unsafe fn of_height<V: Vector, const N: usize>(self, rows: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match rows {
                1 => self.run::<V, N, 1>(),
                2 => self.run::<V, N, 2>(),
                3 => self.run::<V, N, 3>(),
                4 => self.run::<V, N, 4>(),
                5 => self.run::<V, N, 5>(),
                6 => self.run::<V, N, 6>(),
                7 if V::LANES == 16 => self.run::<V, N, 7>(),
                8 if V::LANES == 16 => self.run::<V, N, 8>(),
                _ => unreachable!("a tile of {rows} rows"),
            }
        }
    }

    /// Adds the products of `R` rows with `N` vectors of outputs to y, or sets y to them.
    ///
    /// # Safety
    /// x must be valid for reading `[depth, R]`, the panel `[depth, N, LANES]`, and every row of y for `n` outputs, set where
    /// they are added.
    #[inline(always)]
    unsafe fn run<V: Vector, const N: usize, const R: usize>(self) {
        let mut sums = [[V::splat(0.0); N]; R];
        let (mut x, mut w) = (self.x, self.panel);
        // SAFETY: the caller's promise; `depth` inputs are read.
        unsafe {
            for r in 0..R {
                // The results lie in no near cache, and are needed in a few hundred cycles.
                _mm_prefetch::<_MM_HINT_T0>(self.y.wrapping_add(r * self.stride).cast());
            }
            for _ in 0..self.depth / UNROLLED {
                for i in 0..UNROLLED {
                    add_input::<V, N, R>(x.add(i * R), w.add(i * N * V::LANES), &mut sums);
                }
                x = x.add(UNROLLED * R);
                w = w.add(UNROLLED * N * V::LANES);
            }
            for _ in 0..self.depth % UNROLLED {
                add_input::<V, N, R>(x, w, &mut sums);
                x = x.add(R);
                w = w.add(N * V::LANES);
            }
            match self.adds {
                true => self.store::<V, N, R, true>(&sums),
                false => self.store::<V, N, R, false>(&sums),
            }
        }
    }

    /// Adds the sums to y, or sets y to them.
    ///
    /// # Safety
    /// Every row of y must be valid for `n` outputs, and set where they are added.
    #[inline(always)]
    unsafe fn store<V: Vector, const N: usize, const R: usize, const ADDS: bool>(
        &self,
        sums: &[[V; N]; R],
    ) {
        let mut few = [0.0; WIDEST];
        for r in 0..R {
            // SAFETY: the caller's promise; `few` has room for N vectors.
            unsafe {
                let y = self.y.add(r * self.stride);
                if self.n == N * V::LANES {
                    for v in 0..N {
                        let y = y.add(v * V::LANES);
                        let sum = if ADDS { V::load(y).plus(sums[r][v]) } else { sums[r][v] };
                        sum.store(y);
                    }
                } else {
                    for v in 0..N {
                        sums[r][v].store(few[v * V::LANES..][..V::LANES].as_mut_ptr());
                    }
                    for o in 0..self.n {
                        let before = if ADDS { *y.add(o) } else { 0.0 };
                        y.add(o).write(before + few[o]);
                    }
                }
            }
        }
    }
}

/// Adds the products of one input.
///
/// # Safety
/// x must be valid for reading `R` values, and w for `N` vectors.
#[inline(always)]
unsafe fn add_input<V: Vector, const N: usize, const R: usize>(
    x: *const f32,
    w: *const f32,
    sums: &mut [[V; N]; R],
) {
    let mut vectors = [V::splat(0.0); N];
    // SAFETY: the caller's promise.
    unsafe {
        for v in 0..N {
            vectors[v] = V::load(w.add(v * V::LANES));
        }
        for r in 0..R {
            let x = V::splat(*x.add(r));
            for v in 0..N {
                sums[r][v] = sums[r][v].fused(vectors[v], x);
            }
        }
    }
}

mod gram;
mod pack;
pub use gram::gram;
use pack::{pack, transpose};

#[cfg(test)]
mod tests;

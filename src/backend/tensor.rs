//! Activations and index lists, on either device, and rectangular views of them.

use super::gpu::Buffer;
use std::rc::Rc;

#[derive(Clone)]
enum Data<T> {
    Cpu(Rc<Vec<T>>),
    Gpu(Buffer),
}

/// f32 values, row-major `[rows, cols]`. Immutable; cloning shares the memory.
#[derive(Clone)]
pub struct Tensor {
    rows: usize,
    cols: usize,
    data: Data<f32>,
}

/// A list of u32 (token ids, positions, kept rows). Immutable; cloning shares the memory.
#[derive(Clone)]
pub struct Ids {
    len: usize,
    data: Data<u32>,
}

/// A rectangle of a tensor: rows `row..row + rows`, columns `col..col + cols`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Whose memory it is.
    pub tensor: &'a Tensor,
    /// First row, in the tensor.
    pub row: usize,
    /// Rows of the view.
    pub rows: usize,
    /// First column, in the tensor.
    pub col: usize,
    /// Columns of the view.
    pub cols: usize,
}

impl Tensor {
    /// Of `rows * cols` values in row-major order; another number of them is our mistake.
    pub fn on_cpu(rows: usize, cols: usize, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), rows * cols, "tensor [{rows}, {cols}]");
        Self { rows, cols, data: Data::Cpu(Rc::new(values)) }
    }

    /// Of a buffer that holds `rows * cols` values in row-major order, or will when the recorded work is done.
    pub fn on_gpu(rows: usize, cols: usize, buffer: Buffer) -> Self {
        Self { rows, cols, data: Data::Gpu(buffer) }
    }

    /// Usually tokens.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Usually channels.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The values; only on the CPU device.
    pub fn cpu(&self) -> &[f32] {
        match &self.data {
            Data::Cpu(values) => values,
            Data::Gpu(_) => panic!("a GPU tensor was given to a CPU kernel"),
        }
    }

    /// The values, without a copy where nobody else holds them; only on the CPU device.
    pub fn into_cpu(self) -> Vec<f32> {
        match self.data {
            Data::Cpu(values) => Rc::unwrap_or_clone(values),
            Data::Gpu(_) => panic!("a GPU tensor was given to a CPU kernel"),
        }
    }

    /// The buffer; only on the GPU device.
    pub fn gpu(&self) -> &Buffer {
        match &self.data {
            Data::Gpu(buffer) => buffer,
            Data::Cpu(_) => panic!("a CPU tensor was given to a GPU kernel"),
        }
    }

    /// With more rows at the end. Memory that nobody else holds is extended where it lies; only on the CPU device.
    pub fn extended<'a>(self, rows: impl Iterator<Item = &'a [f32]>) -> Tensor {
        let Data::Cpu(values) = self.data else { panic!("a GPU tensor was extended on the CPU") };
        let mut values = Rc::unwrap_or_clone(values);
        rows.for_each(|row| values.extend_from_slice(row));
        Tensor::on_cpu(values.len() / self.cols.max(1), self.cols, values)
    }

    /// The same values with room for an eighth more rows: the first row that is put behind a long text then moves nothing.
    /// Only on the CPU device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_room(self) -> Tensor {
        let Data::Cpu(values) = self.data else { panic!("a GPU tensor was extended on the CPU") };
        let mut values = Rc::unwrap_or_clone(values);
        values.reserve_exact(values.len() / 8);
        Tensor::on_cpu(self.rows, self.cols, values)
    }

    /// Whether both are the same memory, for callers that would otherwise compute the same thing twice.
    pub fn is_same(&self, other: &Tensor) -> bool {
        match (&self.data, &other.data) {
            (Data::Cpu(a), Data::Cpu(b)) => Rc::ptr_eq(a, b),
            (Data::Gpu(a), Data::Gpu(b)) => a.id() == b.id(),
            _ => false,
        }
    }

    /// The same values seen with another shape of equal size.
    pub fn reshape(&self, rows: usize, cols: usize) -> Tensor {
        assert_eq!(rows * cols, self.rows * self.cols, "reshape to [{rows}, {cols}]");
        Tensor { rows, cols, data: self.data.clone() }
    }

    /// The whole tensor as a view.
    pub fn view(&self) -> View<'_> {
        View { tensor: self, row: 0, rows: self.rows, col: 0, cols: self.cols }
    }

    /// Columns `col..col + cols` of every row.
    pub fn columns(&self, col: usize, cols: usize) -> View<'_> {
        assert!(col + cols <= self.cols, "columns {col}+{cols} of {}", self.cols);
        View { tensor: self, row: 0, rows: self.rows, col, cols }
    }

    /// Rows `row..row + rows`.
    pub fn row_range(&self, row: usize, rows: usize) -> View<'_> {
        assert!(row + rows <= self.rows, "rows {row}+{rows} of {}", self.rows);
        View { tensor: self, row, rows, col: 0, cols: self.cols }
    }
}

impl<'a> From<&'a Tensor> for View<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        tensor.view()
    }
}

impl<'a> View<'a> {
    /// Elements from one row to the next in memory.
    pub fn stride(&self) -> usize {
        self.tensor.cols
    }

    /// Elements from the start of the buffer to the first element of the view.
    pub fn offset(&self) -> usize {
        self.row * self.tensor.cols + self.col
    }

    /// Row `i` of the view; only on the CPU device.
    pub fn cpu_row(&self, i: usize) -> &'a [f32] {
        debug_assert!(i < self.rows);
        let start = self.offset() + i * self.stride();
        &self.tensor.cpu()[start..start + self.cols]
    }
}

impl Ids {
    /// Of values in memory.
    pub fn on_cpu(values: Vec<u32>) -> Self {
        Self { len: values.len(), data: Data::Cpu(Rc::new(values)) }
    }

    /// Of a buffer that holds `len` values, or will when the recorded work is done.
    pub fn on_gpu(len: usize, buffer: Buffer) -> Self {
        Self { len, data: Data::Gpu(buffer) }
    }

    /// Known without reading anything back.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values; only on the CPU device.
    pub fn cpu(&self) -> &[u32] {
        match &self.data {
            Data::Cpu(values) => values,
            Data::Gpu(_) => panic!("a GPU index list was given to a CPU kernel"),
        }
    }

    /// The buffer; only on the GPU device.
    pub fn gpu(&self) -> &Buffer {
        match &self.data {
            Data::Gpu(buffer) => buffer,
            Data::Cpu(_) => panic!("a CPU index list was given to a GPU kernel"),
        }
    }
}

//! GPU memory that is used again: a dropped buffer goes back to the pool of its size.
//!
//! A buffer may be handed out again while work that reads it is only recorded: the GPU runs dispatches in the
//! order of recording, so the new owner's writes come after. `queue.write_buffer` does not keep that order (it
//! runs before the batch), therefore uploads take memory that no recorded work can still use: a fresh buffer.
//!
//! What is not kept is counted as gone, so that nobody else holds on to it either (`Pool::take_gone`).

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};

/// Free buffers kept per size; more are given back to the driver.
const KEEP: usize = 64;
/// Buffers, and bytes of them, that may be gone before somebody has to hear of it.
const UNHEARD: (usize, u64) = (256, 1 << 20);

/// A reference-counted GPU buffer.
#[derive(Clone)]
pub struct Buffer(Rc<Owned>);

struct Owned {
    raw: wgpu::Buffer,
    id: u64,
    pool: Weak<Pool>,
    is_pooled: bool,
}

/// Free buffers by size in bytes.
#[derive(Default)]
pub struct Pool {
    free: RefCell<HashMap<u64, Vec<(wgpu::Buffer, u64)>>>,
    next_id: std::cell::Cell<u64>,
    gone: RefCell<HashSet<u64>>,
    gone_bytes: std::cell::Cell<u64>,
}

impl Pool {
    /// A buffer of at least `bytes` bytes; contents unspecified.
    pub fn take(self: &Rc<Self>, device: &wgpu::Device, bytes: usize) -> Buffer {
        let size = size_class(bytes);
        let reused = self.free.borrow_mut().get_mut(&size).and_then(Vec::pop);
        let (raw, id) = reused.unwrap_or_else(|| self.create(device, size));
        Buffer(Rc::new(Owned { raw, id, pool: Rc::downgrade(self), is_pooled: true }))
    }

    /// A buffer that no recorded work uses; it is not kept when dropped.
    pub fn take_unused(self: &Rc<Self>, device: &wgpu::Device, bytes: usize) -> Buffer {
        let (raw, id) = self.create(device, (bytes as u64).next_multiple_of(16).max(16));
        Buffer(Rc::new(Owned { raw, id, pool: Rc::downgrade(self), is_pooled: false }))
    }

    /// Ids of buffers that were dropped for good, once they are worth a search: a model's weights, or many small ones.
    pub fn take_gone(&self) -> Option<HashSet<u64>> {
        let (most, most_bytes) = UNHEARD;
        let is_worth = self.gone.borrow().len() >= most || self.gone_bytes.get() >= most_bytes;
        is_worth.then(|| {
            self.gone_bytes.set(0);
            self.gone.take()
        })
    }

    fn forget(&self, id: u64, bytes: u64) {
        self.gone.borrow_mut().insert(id);
        self.gone_bytes.set(self.gone_bytes.get() + bytes);
    }

    fn create(&self, device: &wgpu::Device, size: u64) -> (wgpu::Buffer, u64) {
        let raw = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        (raw, id)
    }
}

impl Buffer {
    pub(super) fn raw(&self) -> &wgpu::Buffer {
        &self.0.raw
    }

    /// Whether nobody else holds it and it has so many bytes.
    pub(crate) fn is_alone_with(&self, bytes: usize) -> bool {
        Rc::strong_count(&self.0) == 1 && self.0.raw.size() >= bytes as u64
    }

    /// Unique among all buffers of this device, used again only together with the memory.
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut free = pool.free.borrow_mut();
        let list = free.entry(self.raw.size()).or_default();
        match self.is_pooled && list.len() < KEEP {
            true => list.push((self.raw.clone(), self.id)),
            false => pool.forget(self.id, self.raw.size()),
        }
    }
}

/// Rounds up to one of four sizes an octave, so that at most a quarter is wasted.
fn size_class(bytes: usize) -> u64 {
    let bytes = (bytes as u64).max(256);
    let step = (bytes.next_power_of_two() / 8).max(64);
    bytes.next_multiple_of(step)
}

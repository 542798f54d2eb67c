//! WebGPU through wgpu: dispatches are recorded into one compute pass and submitted together.
//!
//! Invariants: no readback inside a forward pass; one submit from one read to the next (or when the parameter
//! arena is full); every batch is inside error scopes, so that a validation error reaches the caller of
//! [`Gpu::read`] as an error and never as zeros.

mod open;
mod pipelines;
mod pool;
#[cfg(not(target_arch = "wasm32"))]
mod timing;
#[cfg(target_arch = "wasm32")]
mod web_name;
pub mod wgsl;

pub use pipelines::{Dispatch, Shader};
pub use pool::Buffer;
pub(crate) use wgsl::wgsl;

use crate::pace::sleep_ms;
use crate::{Error, Result};
use pipelines::Pipelines;
use pool::Pool;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// Bytes of one slot of the parameter arena: the alignment every adapter accepts for dynamic offsets.
const SLOT: usize = 256;
/// Dispatches one submit can hold.
const SLOTS: usize = 4096;

type PendingError = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// An open device with its queue, caches and the batch that is being recorded.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    pipelines: Pipelines,
    pool: Rc<Pool>,
    arena: wgpu::Buffer,
    batch: RefCell<Option<Batch>>,
    pending_errors: RefCell<Vec<PendingError>>,
    lost: Arc<Mutex<Option<String>>>,
    uncaptured: Arc<Mutex<Option<String>>>,
    submits: Cell<u64>,
    dispatches: Cell<u64>,
    as_hardware: Cell<bool>,
    is_rehearsal: Cell<bool>,
    #[cfg(not(target_arch = "wasm32"))]
    choice: Cell<(usize, &'static str)>,
}

/// What is recorded between two submits.
struct Batch {
    // The pass is ended (dropped) before the encoder is finished.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: wgpu::CommandEncoder,
    params: Vec<u8>,
    scopes: Scopes,
}

/// The two error scopes around a batch. They are a stack, and wgpu panics where the outer one goes first. A batch that
/// is dropped unsent drops its fields in the order of their declaration: the inner one stands first.
struct Scopes {
    validation: wgpu::ErrorScopeGuard,
    memory: wgpu::ErrorScopeGuard,
}

impl Scopes {
    fn push(device: &wgpu::Device) -> Self {
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        Self { validation, memory }
    }

    /// Ends both; the answers are on their way before anything is awaited.
    fn pop(self) -> [PendingError; 2] {
        [Box::pin(self.validation.pop()), Box::pin(self.memory.pop())]
    }
}

impl Gpu {
    /// Adapter name for people; a software adapter is named as such, and so is a form that somebody has chosen for it.
    pub fn label(&self) -> String {
        #[cfg(not(target_arch = "wasm32"))]
        if crate::arithmetic::current() == crate::arithmetic::Arithmetic::F16 {
            let form = [self.choice().1, crate::arithmetic::Arithmetic::F16.mark()];
            return open::label(&self.info, form.join(", ").trim_start_matches(", "));
        }
        open::label(&self.info, self.choice().1)
    }

    /// Whether its shaders may compute in f16.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn has_f16(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// Whether the adapter is a program on the CPU (SwiftShader, lavapipe, WARP).
    pub fn is_software(&self) -> bool {
        open::is_software(&self.info) && !self.as_hardware.get()
    }

    /// From now on a program on the CPU is given what a real GPU is given, so that tests can do without one.
    #[doc(hidden)]
    pub fn pass_for_hardware(&self) {
        self.as_hardware.set(true);
    }

    /// Which of several forms that compute the same this adapter is given, by number and by name; 0 and nothing until
    /// somebody has chosen, which no page does.
    pub fn choice(&self) -> (usize, &'static str) {
        #[cfg(not(target_arch = "wasm32"))]
        return self.choice.get();
        #[cfg(target_arch = "wasm32")]
        (0, "")
    }

    /// Takes another from now on; the label names it, so that every figure does.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn choose(&self, form: usize, name: &'static str) {
        self.choice.set((form, name));
    }

    /// What decides how fast something is here: the adapter and its driver.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn adapter_and_driver(&self) -> String {
        let wgpu::AdapterInfo { name, driver, driver_info, .. } = &self.info;
        format!("{name}, {driver} {driver_info}")
    }

    /// Storage buffers that a shader may bind; at least 8.
    pub fn storage_buffers(&self) -> usize {
        self.device.limits().max_storage_buffers_per_shader_stage as usize
    }

    /// Submits so far; a forward pass is meant to cost one.
    pub fn submits(&self) -> u64 {
        self.submits.get()
    }

    /// Kernel launches recorded so far.
    pub fn dispatches(&self) -> u64 {
        self.dispatches.get()
    }

    /// Bytes of the largest tensor that a shader can be given.
    pub fn binding_limit(&self) -> u64 {
        self.device.limits().max_storage_buffer_binding_size
    }

    /// A buffer of `bytes` bytes with unspecified contents, from the pool.
    pub fn alloc(&self, bytes: usize) -> Buffer {
        let bytes = if self.is_rehearsal.get() { 4 } else { bytes };
        self.check_size(bytes);
        self.pool.take(&self.device, bytes)
    }

    /// Notes for the next read that something is larger than what a shader can bind: the driver's own words for it, which
    /// follow, name neither.
    fn check_size(&self, bytes: usize) {
        let most = self.binding_limit();
        if bytes as u64 > most
            && let Ok(mut slot) = self.uncaptured.lock()
        {
            slot.get_or_insert_with(|| too_large(bytes as u64, most));
        }
    }

    /// A new buffer with these contents.
    pub fn upload(&self, bytes: &[u8]) -> Buffer {
        self.check_size(bytes.len());
        let buffer = self.pool.take_unused(&self.device, bytes.len());
        // write_buffer wants multiples of four; every caller sends u32, f32 or padded f16 rows.
        assert_eq!(bytes.len() % 4, 0, "upload of {} bytes", bytes.len());
        self.queue.write_buffer(buffer.raw(), 0, bytes);
        buffer
    }

    /// Records one kernel launch.
    pub fn dispatch(&self, dispatch: &Dispatch<'_>) {
        assert!(
            dispatch.params.len() <= SLOT,
            "{}: parameters over {SLOT} bytes",
            dispatch.shader.name
        );
        assert!(
            dispatch.groups.iter().all(|&g| (1..=65_535).contains(&g)),
            "{}: workgroups {:?}",
            dispatch.shader.name,
            dispatch.groups
        );
        if self.is_rehearsal.get() {
            return self.pipelines.foresee(&self.device, dispatch);
        }
        if self.batch.borrow().as_ref().is_some_and(|b| b.params.len() == SLOT * SLOTS) {
            self.submit();
        }
        let mut slot = self.batch.borrow_mut();
        let batch = slot.get_or_insert_with(|| self.begin(None));
        let offset = batch.params.len();
        batch.params.extend_from_slice(dispatch.params);
        batch.params.resize(offset + SLOT, 0);
        if let Some(gone) = self.pool.take_gone() {
            self.pipelines.forget(&gone);
        }
        let (pipeline, group) = self.pipelines.prepare(&self.device, &self.arena, dispatch);
        let pass = batch.pass.as_mut().expect("the pass of an open batch is open");
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[offset as u32]);
        let [x, y, z] = dispatch.groups;
        pass.dispatch_workgroups(x, y, z);
        self.dispatches.set(self.dispatches.get() + 1);
    }

    /// Has the pipelines made of what `record` would launch. Nothing is launched, and what it makes has no memory.
    pub fn rehearse(&self, record: &mut dyn FnMut()) {
        self.is_rehearsal.set(true);
        record();
        self.is_rehearsal.set(false);
    }

    /// Pipelines made so far, and those that are being made.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn pipelines(&self) -> usize {
        self.pipelines.count()
    }

    /// How many kept bind groups hold a buffer.
    #[cfg(all(test, not(target_arch = "wasm32")))]
    pub fn groups_of(&self, id: u64) -> usize {
        self.pipelines.groups_of(id)
    }

    fn begin(&self, times: Option<wgpu::ComputePassTimestampWrites<'_>>) -> Batch {
        let scopes = Scopes::push(&self.device);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let pass = wgpu::ComputePassDescriptor { label: None, timestamp_writes: times };
        let pass = encoder.begin_compute_pass(&pass).forget_lifetime();
        Batch { pass: Some(pass), encoder, params: Vec::new(), scopes }
    }

    /// The open batch with its pass ended, or an empty one.
    fn take_batch(&self) -> Batch {
        let mut batch = self.batch.borrow_mut().take().unwrap_or_else(|| self.begin(None));
        batch.pass = None;
        batch
    }

    /// Sends what is recorded to the GPU.
    pub fn submit(&self) {
        let scopes = self.send(self.take_batch());
        self.pending_errors.borrow_mut().extend(scopes.pop());
    }

    fn send(&self, batch: Batch) -> Scopes {
        if !batch.params.is_empty() {
            self.queue.write_buffer(&self.arena, 0, &batch.params);
        }
        self.queue.submit([batch.encoder.finish()]);
        self.submits.set(self.submits.get() + 1);
        batch.scopes
    }

    /// Submits, then copies the first `len` bytes of `buffer` back.
    ///
    /// The mapping is asked for inside the batch's error scopes, and everything before anything is awaited.
    pub async fn read(&self, buffer: &Buffer, len: usize) -> Result<Vec<u8>> {
        self.finish_with(self.take_batch(), &[(buffer.raw(), len)]).await
    }

    /// Submits, then copies the first bytes of every buffer back, one after the other, in one go.
    pub async fn read_all(&self, buffers: &[(&Buffer, usize)]) -> Result<Vec<u8>> {
        let raw: Vec<_> = buffers.iter().map(|(buffer, len)| (buffer.raw(), *len)).collect();
        self.finish_with(self.take_batch(), &raw).await
    }

    async fn finish_with(
        &self,
        mut batch: Batch,
        sources: &[(&wgpu::Buffer, usize)],
    ) -> Result<Vec<u8>> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read"),
            size: sources.iter().map(|(_, len)| *len as u64).sum(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut at = 0;
        for (source, len) in sources {
            batch.encoder.copy_buffer_to_buffer(source, 0, &staging, at, *len as u64);
            at += *len as u64;
        }
        let scopes = self.send(batch);
        let (send, receive) = futures_channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The reader may have been cancelled; then nobody wants the answer.
            let _ = send.send(result);
        });
        self.pending_errors.borrow_mut().extend(scopes.pop());
        self.check_errors().await?;
        self.poll()?;
        match receive.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => {
                self.wait_for_reason().await;
                return Err(self.failure(format!("the result could not be mapped ({e})")));
            }
            Err(_) => return Err(self.failure("the device went away".into())),
        }
        let mapped = staging.get_mapped_range(..).map_err(|e| self.failure(e.to_string()))?;
        Ok(mapped.to_vec())
    }

    /// Submits and waits until the GPU is done.
    pub async fn finish(&self) -> Result<()> {
        let buffer = self.alloc(4);
        self.read(&buffer, 4).await.map(|_| ())
    }

    /// Natively the callbacks run inside poll; on the web the browser runs them.
    fn poll(&self) -> Result<()> {
        match self.device.poll(wgpu::PollType::wait_indefinitely()) {
            Ok(_) => Ok(()),
            Err(e) => Err(self.failure(e.to_string())),
        }
    }

    async fn check_errors(&self) -> Result<()> {
        let pending: Vec<PendingError> = self.pending_errors.borrow_mut().drain(..).collect();
        let mut first = None;
        for error in pending {
            if let Some(error) = error.await {
                first.get_or_insert(error.to_string());
            }
        }
        // What was noted outside the scopes came before what it led to.
        if let Some(message) = self.uncaptured.lock().ok().and_then(|mut u| u.take()) {
            first = Some(message);
        }
        if self.lost_reason().is_some() || first.is_some() {
            return Err(self.failure(first.unwrap_or_default()));
        }
        Ok(())
    }

    /// Why the device was lost, if it was.
    pub fn lost_reason(&self) -> Option<String> {
        self.lost.lock().ok().and_then(|reason| reason.clone())
    }

    /// A browser rejects the mapping a moment before it says that the device is lost.
    async fn wait_for_reason(&self) {
        for _ in 0..10 {
            if self.lost_reason().is_some() {
                return;
            }
            sleep_ms(5).await;
        }
    }

    fn failure(&self, what: String) -> Error {
        match self.lost_reason() {
            Some(reason) => Error::Gpu(format!("the device was lost ({reason})")),
            None => Error::Gpu(what),
        }
    }
}

fn too_large(bytes: u64, most: u64) -> String {
    let mb = |n: u64| n as f64 / 1e6;
    format!(
        "a tensor of {:.1} MB is more than the {:.1} MB that this GPU binds at once (maxStorageBufferBindingSize)",
        mb(bytes),
        mb(most)
    )
}

//! Finding an adapter and opening a device on it.

use super::{Gpu, Pipelines, SLOT, SLOTS};
use crate::{Error, Result};
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};

impl Gpu {
    /// Opens the strongest adapter. Errors: none there, or it refused a device.
    pub async fn open() -> Result<Gpu> {
        let instance = wgpu::Instance::new(instance_descriptor());
        let adapter = adapter(&instance).await?;
        let info = named(adapter.get_info()).await;
        // The adapter's own limits: the defaults (128 MiB bindings) are too small for a 50k-word embedding.
        let opened = match device_with(&adapter, adapter.limits()).await {
            Ok(opened) => Ok(opened),
            // Some adapters refuse what they report; an adapter that was asked once may be used up.
            Err(_) => device_with(&self::adapter(&instance).await?, wgpu::Limits::default()).await,
        };
        let refused = |e| Error::Gpu(format!("{} gave no device ({e})", label(&info, "")));
        let (device, queue) = opened.map_err(refused)?;
        Ok(Self::with_device(device, queue, info))
    }

    fn with_device(device: wgpu::Device, queue: wgpu::Queue, info: wgpu::AdapterInfo) -> Gpu {
        let lost = Arc::new(Mutex::new(None));
        let uncaptured = Arc::new(Mutex::new(None));
        let note_lost = lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            if let Ok(mut slot) = note_lost.lock() {
                *slot = Some(format!("{reason:?}: {message}"));
            }
        });
        let note_error = uncaptured.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            if let Ok(mut slot) = note_error.lock() {
                slot.get_or_insert_with(|| error.to_string());
            }
        }));
        let arena = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: (SLOT * SLOTS) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Gpu {
            device,
            queue,
            info,
            pipelines: Pipelines::default(),
            pool: Default::default(),
            arena,
            batch: RefCell::new(None),
            pending_errors: RefCell::new(Vec::new()),
            lost,
            uncaptured,
            submits: Cell::new(0),
            dispatches: Cell::new(0),
            as_hardware: Cell::new(false),
            is_rehearsal: Cell::new(false),
            #[cfg(not(target_arch = "wasm32"))]
            choice: Cell::new((0, "")),
        }
    }
}

/// The strongest adapter.
async fn adapter(instance: &wgpu::Instance) -> Result<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = instance.request_adapter(&options).await;
    adapter.map_err(|e| Error::Gpu(format!("no adapter ({e})")))
}

async fn device_with(
    adapter: &wgpu::Adapter,
    limits: wgpu::Limits,
) -> std::result::Result<(wgpu::Device, wgpu::Queue), wgpu::RequestDeviceError> {
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("whittle"),
        required_limits: limits,
        required_features: adapter.features() & wanted_features(),
        ..Default::default()
    };
    adapter.request_device(&descriptor).await
}

#[cfg(target_arch = "wasm32")]
async fn named(mut info: wgpu::AdapterInfo) -> wgpu::AdapterInfo {
    if let Some(name) = super::web_name::adapter_name().await {
        info.name = name;
    }
    info
}

#[cfg(not(target_arch = "wasm32"))]
async fn named(info: wgpu::AdapterInfo) -> wgpu::AdapterInfo {
    info
}

/// Nothing that the reference needs. On native machines: the clock of the GPU for measurements, and f16 for who chooses it.
fn wanted_features() -> wgpu::Features {
    match cfg!(target_arch = "wasm32") {
        true => wgpu::Features::empty(),
        false => wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SHADER_F16,
    }
}

fn instance_descriptor() -> wgpu::InstanceDescriptor {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::BROWSER_WEBGPU;
    descriptor
}

pub(super) fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let text = format!("{} {} {}", info.name, info.driver, info.driver_info).to_ascii_lowercase();
    info.device_type == wgpu::DeviceType::Cpu
        || ["swiftshader", "llvmpipe", "lavapipe", "basic render"].iter().any(|s| text.contains(s))
}

pub(super) fn label(info: &wgpu::AdapterInfo, form: &str) -> String {
    let name = if info.name.is_empty() { "unnamed adapter" } else { &info.name };
    let kind = if is_software(info) { "software, " } else { "" };
    let api = match info.backend {
        wgpu::Backend::BrowserWebGpu => "WebGPU".to_string(),
        other => format!("{other:?}"),
    };
    let comma = if form.is_empty() { "" } else { ", " };
    format!("{name} ({kind}{api}{comma}{form})")
}

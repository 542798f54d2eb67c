//! A small computation on the browser's WebGPU device, for the window and the worker test alike.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use wgpu::util::DeviceExt;

/// y <- 2 x + y, on workgroups of 64.
const SHADER: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [n]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&y) { y[id.x] = 2.0 * x[id.x] + y[id.x]; }
}";

/// Whether the global object has a property of this name (`document` in a window only).
pub fn global_has(name: &str) -> bool {
    Reflect::has(&js_sys::global(), &JsValue::from_str(name)).expect("the global is an object")
}

/// Compares the device's result with the same sum done here, at a size that fills no workgroup.
pub async fn the_device_computes() {
    let x: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let y: Vec<f32> = (0..1000).map(|i| 0.5 - i as f32).collect();
    let computed = on_device(&x, &y).await;
    // Whole and half numbers this small are exact in f32, so no tolerance is due.
    let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| 2.0 * x + y).collect();
    assert_eq!(computed, expected);
}

async fn on_device(x: &[f32], y: &[f32]) -> Vec<f32> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&Default::default()).await.expect("a WebGPU adapter");
    let (device, queue) =
        adapter.request_device(&Default::default()).await.expect("a WebGPU device");
    // Without a scope the browser only logs what is invalid and the result is zeros.
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);

    let storage = |values: &[f32]| {
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(values),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        })
    };
    let (x, y) = (storage(x), storage(y));
    let read_back = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: y.size(),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    queue.submit([record(&device, &x, &y, &read_back)]);
    if let Some(problem) = scope.pop().await {
        panic!("WebGPU: {problem}");
    }
    mapped(&read_back).await
}

fn record(
    device: &wgpu::Device,
    x: &wgpu::Buffer,
    y: &wgpu::Buffer,
    read_back: &wgpu::Buffer,
) -> wgpu::CommandBuffer {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(SHADER.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: x.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: y.as_entire_binding() },
        ],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(y.size().div_ceil(4 * 64) as u32, 1, 1);
    drop(pass);
    encoder.copy_buffer_to_buffer(y, 0, read_back, 0, y.size());
    encoder.finish()
}

async fn mapped(buffer: &wgpu::Buffer) -> Vec<f32> {
    let done = Promise::new(&mut |resolve: Function, reject: Function| {
        buffer.map_async(wgpu::MapMode::Read, .., move |outcome| {
            let answer = match outcome {
                Ok(()) => resolve.call0(&JsValue::NULL),
                Err(problem) => reject.call1(&JsValue::NULL, &problem.to_string().into()),
            };
            answer.expect("a promise can be settled");
        });
    });
    JsFuture::from(done).await.expect("the result can be mapped");
    bytemuck::cast_slice(&buffer.get_mapped_range(..).expect("it is mapped")).to_vec()
}

//! Compiled shaders and bind groups, kept for the life of the device.

use super::pool::Buffer;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
#[cfg(not(target_arch = "wasm32"))]
use std::thread::JoinHandle;

/// Bind groups hold their buffers alive: those of buffers that are gone go too, and past this many all of them.
const MAX_GROUPS: usize = 4096;

/// A WGSL file: binding 0 is the uniform parameters, then `reads` read-only and `writes` read-write buffers.
pub struct Shader {
    /// Of the file, without its ending; one compiled module is kept for each name.
    pub name: &'static str,
    /// WGSL, in parts that stand one after the other.
    pub source: &'static [&'static str],
    /// Bindings 1 to `reads`.
    pub reads: usize,
    /// The bindings behind those.
    pub writes: usize,
}

/// One launch of a shader.
pub struct Dispatch<'a> {
    /// The file.
    pub shader: &'static Shader,
    /// One of its entry points.
    pub entry: &'static str,
    /// Values of `override` constants.
    pub constants: &'a [(&'static str, f64)],
    /// The uniform parameter struct, at most 256 bytes.
    pub params: &'a [u8],
    /// As many as the shader says, in the order of its bindings.
    pub reads: &'a [&'a Buffer],
    /// Likewise.
    pub writes: &'a [&'a Buffer],
    /// Workgroups in x, y, z.
    pub groups: [u32; 3],
}

impl Dispatch<'_> {
    fn key(&self) -> PipelineKey {
        let constants = self.constants.iter().map(|&(name, v)| (name, v.to_bits())).collect();
        (self.shader.name, self.entry, constants)
    }
}

type PipelineKey = (&'static str, &'static str, Vec<(&'static str, u64)>);
type GroupKey = (usize, Vec<u64>);

#[derive(Default)]
pub struct Pipelines {
    modules: RefCell<HashMap<&'static str, wgpu::ShaderModule>>,
    layouts: RefCell<HashMap<(usize, usize), wgpu::BindGroupLayout>>,
    pipelines: RefCell<HashMap<PipelineKey, wgpu::ComputePipeline>>,
    /// Pipelines that threads are making, for what will be launched soon.
    #[cfg(not(target_arch = "wasm32"))]
    on_their_way: RefCell<HashMap<PipelineKey, JoinHandle<wgpu::ComputePipeline>>>,
    groups: RefCell<HashMap<GroupKey, wgpu::BindGroup>>,
}

impl Pipelines {
    /// The pipeline and bind group of a launch, from the caches where they are there.
    pub fn prepare(
        &self,
        device: &wgpu::Device,
        arena: &wgpu::Buffer,
        dispatch: &Dispatch<'_>,
    ) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
        let shader = dispatch.shader;
        assert_eq!(dispatch.reads.len(), shader.reads, "{}: read buffers", shader.name);
        assert_eq!(dispatch.writes.len(), shader.writes, "{}: written buffers", shader.name);
        let pipeline = self.pipeline(device, dispatch);
        let layout = self.layout(device, shader.reads, shader.writes);
        (pipeline, self.group(device, &layout, arena, dispatch))
    }

    fn layout(&self, device: &wgpu::Device, reads: usize, writes: usize) -> wgpu::BindGroupLayout {
        let mut layouts = self.layouts.borrow_mut();
        let entry = |binding: usize, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
            count: None,
        };
        let make = || {
            let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
            for i in 1..=reads + writes {
                let read_only = i <= reads;
                entries.push(entry(i, wgpu::BufferBindingType::Storage { read_only }, false));
            }
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            })
        };
        layouts.entry((reads, writes)).or_insert_with(make).clone()
    }

    /// The pipeline of a launch; where somebody is making it, waits for that.
    fn pipeline(&self, device: &wgpu::Device, dispatch: &Dispatch<'_>) -> wgpu::ComputePipeline {
        let key = dispatch.key();
        let mut pipelines = self.pipelines.borrow_mut();
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(thread) = self.on_their_way.borrow_mut().remove(&key)
            && let Ok(pipeline) = thread.join()
        {
            pipelines.insert(key.clone(), pipeline);
        }
        pipelines.entry(key).or_insert_with(|| self.maker(device, dispatch)()).clone()
    }

    /// Has the pipeline of a launch made while other things go on: in a browser by the process that has the GPU anyway.
    pub fn foresee(&self, device: &wgpu::Device, dispatch: &Dispatch<'_>) {
        #[cfg(target_arch = "wasm32")]
        self.pipeline(device, dispatch);
        #[cfg(not(target_arch = "wasm32"))]
        if !self.pipelines.borrow().contains_key(&dispatch.key()) {
            let make = || std::thread::spawn(self.maker(device, dispatch));
            self.on_their_way.borrow_mut().entry(dispatch.key()).or_insert_with(make);
        }
    }

    /// What makes the pipeline of a launch, here or in a thread.
    fn maker(
        &self,
        device: &wgpu::Device,
        dispatch: &Dispatch<'_>,
    ) -> impl FnOnce() -> wgpu::ComputePipeline + use<> {
        let shader = dispatch.shader;
        let make = || {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(shader.name),
                source: wgpu::ShaderSource::Wgsl(shader.source.concat().into()),
            })
        };
        let module = self.modules.borrow_mut().entry(shader.name).or_insert_with(make).clone();
        let layout = self.layout(device, shader.reads, shader.writes);
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let (device, entry) = (device.clone(), dispatch.entry);
        let constants = dispatch.constants.to_vec();
        move || {
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(shader.name),
                layout: Some(&layout),
                module: &module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    // Kernels write workgroup memory before they read it.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        }
    }

    /// How many were made or are on their way.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn count(&self) -> usize {
        self.pipelines.borrow().len() + self.on_their_way.borrow().len()
    }

    /// Drops the bind groups of buffers that nobody else holds.
    pub fn forget(&self, gone: &HashSet<u64>) {
        self.groups.borrow_mut().retain(|(_, ids), _| !ids.iter().any(|id| gone.contains(id)));
    }

    /// How many bind groups hold a buffer.
    #[cfg(all(test, not(target_arch = "wasm32")))]
    pub fn groups_of(&self, id: u64) -> usize {
        self.groups.borrow().keys().filter(|(_, ids)| ids.contains(&id)).count()
    }

    fn group(
        &self,
        device: &wgpu::Device,
        layout: &wgpu::BindGroupLayout,
        arena: &wgpu::Buffer,
        dispatch: &Dispatch<'_>,
    ) -> wgpu::BindGroup {
        let buffers = || dispatch.reads.iter().chain(dispatch.writes);
        let key = (dispatch.shader.reads, buffers().map(|b| b.id()).collect());
        let mut groups = self.groups.borrow_mut();
        if groups.len() > MAX_GROUPS {
            groups.clear();
        }
        let make = || {
            let params = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: arena,
                offset: 0,
                size: wgpu::BufferSize::new(super::SLOT as u64),
            });
            let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params }];
            entries.extend(buffers().enumerate().map(|(i, b)| wgpu::BindGroupEntry {
                binding: i as u32 + 1,
                resource: b.raw().as_entire_binding(),
            }));
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout,
                entries: &entries,
            })
        };
        groups.entry(key).or_insert_with(make).clone()
    }
}

/// No driver is left while a thread is inside it.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for Pipelines {
    fn drop(&mut self) {
        self.on_their_way.take().into_values().for_each(|thread| drop(thread.join()));
    }
}

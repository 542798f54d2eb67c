//! Compiled shaders and bind groups, kept for the life of the device.

use super::pool::Buffer;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

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

type PipelineKey = (&'static str, &'static str, Vec<(&'static str, u64)>);
type GroupKey = (usize, Vec<u64>);

#[derive(Default)]
pub struct Pipelines {
    modules: RefCell<HashMap<&'static str, wgpu::ShaderModule>>,
    layouts: RefCell<HashMap<(usize, usize), wgpu::BindGroupLayout>>,
    pipelines: RefCell<HashMap<PipelineKey, wgpu::ComputePipeline>>,
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
        let layout = self.layout(device, shader.reads, shader.writes);
        (self.pipeline(device, &layout, dispatch), self.group(device, &layout, arena, dispatch))
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

    fn pipeline(
        &self,
        device: &wgpu::Device,
        layout: &wgpu::BindGroupLayout,
        dispatch: &Dispatch<'_>,
    ) -> wgpu::ComputePipeline {
        let shader = dispatch.shader;
        let constants = dispatch.constants.iter().map(|&(name, v)| (name, v.to_bits())).collect();
        let mut pipelines = self.pipelines.borrow_mut();
        let make = || {
            let mut modules = self.modules.borrow_mut();
            let module = modules.entry(shader.name).or_insert_with(|| {
                device.create_shader_module(wgpu::ShaderModuleDescriptor {
                    label: Some(shader.name),
                    source: wgpu::ShaderSource::Wgsl(shader.source.concat().into()),
                })
            });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(layout)],
                immediate_size: 0,
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(shader.name),
                layout: Some(&pipeline_layout),
                module,
                entry_point: Some(dispatch.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: dispatch.constants,
                    // Kernels write workgroup memory before they read it.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        };
        pipelines.entry((shader.name, dispatch.entry, constants)).or_insert_with(make).clone()
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

//! How long the GPU itself works, by its own clock: for measurements, which a host's clock would spoil with the time it
//! takes to record and to be told.

use super::{Batch, Gpu};
use crate::Result;

impl Gpu {
    /// Milliseconds from the first to the last of the launches that `record` records (fewer than 4,096), waits between
    /// them included; `None` where the adapter has no clock. Errors: as [`Gpu::read`].
    pub async fn device_ms(&self, record: impl FnOnce()) -> Result<Option<f64>> {
        if !self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            record();
            return self.finish().await.map(|()| None);
        }
        self.submit();
        let times = self.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("times"),
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let writes = wgpu::ComputePassTimestampWrites {
            query_set: &times,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        };
        *self.batch.borrow_mut() = Some(self.begin(Some(writes)));
        let before = self.submits();
        record();
        assert_eq!(self.submits(), before, "device_ms: one batch is timed");
        let mut batch: Batch = self.take_batch();
        let resolved = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("times"),
            size: 16,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        batch.encoder.resolve_query_set(&times, 0..2, &resolved, 0);
        let bytes = self.finish_with(batch, &[(&resolved, 16)]).await?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        let elapsed = ticks[1].saturating_sub(ticks[0]) as f64;
        Ok(Some(elapsed * f64::from(self.queue.get_timestamp_period()) / 1e6))
    }
}

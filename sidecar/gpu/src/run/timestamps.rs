//! How long kernels take, for whoever reads traces.

use inference::DeviceError;
use wgpu::{
    Buffer, BufferDescriptor, BufferUsages, CommandEncoder, ComputePassTimestampWrites, MapMode,
    QuerySet, QuerySetDescriptor, QueryType,
};

use crate::device::Opened;

/// The most kernels of which one submission tells.
const MOST: u32 = 2048;

/// The device's clock before and after each kernel of a submission.
pub(super) struct Timestamps {
    queries: QuerySet,
    count: u32,
    resolved: Buffer,
    read: Buffer,
    nanoseconds: f32,
}

impl Timestamps {
    /// For `kernels` kernels; none where nobody reads traces, or the device has no clock.
    pub(super) fn new(opened: &Opened, kernels: usize) -> Option<Self> {
        let nanoseconds = opened.tick_nanoseconds?;
        let kernels = u32::try_from(kernels).ok().filter(|it| (1..=MOST).contains(it))?;
        if !tracing::enabled!(tracing::Level::TRACE) {
            return None;
        }
        let count = 2 * kernels;
        let buffer = |usage| BufferDescriptor {
            label: None,
            size: u64::from(count) * 8,
            usage,
            mapped_at_creation: false,
        };
        let made = opened.guarded(u64::from(count) * 16, |opened| {
            let ty = QueryType::Timestamp;
            Ok(Self {
                queries: opened.device().create_query_set(&QuerySetDescriptor {
                    label: None,
                    ty,
                    count,
                }),
                count,
                resolved: opened
                    .device()
                    .create_buffer(&buffer(BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC)),
                read: opened
                    .device()
                    .create_buffer(&buffer(BufferUsages::MAP_READ | BufferUsages::COPY_DST)),
                nanoseconds,
            })
        });
        made.ok()
    }

    pub(super) fn writes(&self, kernel: u32) -> ComputePassTimestampWrites<'_> {
        ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * kernel),
            end_of_pass_write_index: Some(2 * kernel + 1),
        }
    }

    /// Encodes that they are to be read. Behind all kernels.
    pub(super) fn encode(&self, encoder: &mut CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..self.count, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read, 0, self.read.size());
    }

    /// Tells them. `names` are those of the kernels; what was submitted is done.
    pub(super) fn tell(
        &self,
        opened: &Opened,
        names: impl Iterator<Item = String>,
    ) -> Result<(), DeviceError> {
        opened.guarded(0, |opened| {
            let slice = self.read.slice(..);
            slice.map_async(MapMode::Read, |_| {});
            let poll = wgpu::PollType::Poll;
            if opened.device().poll(poll).is_err() {
                return Ok(());
            }
            let Ok(bytes) = slice.get_mapped_range() else { return Ok(()) };
            let tick = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
            for (pair, kernel) in bytes.chunks_exact(16).zip(names) {
                let (before, after) = pair.split_at(8);
                let ticks = tick(after).saturating_sub(tick(before));
                let nanoseconds = ticks as f64 * f64::from(self.nanoseconds);
                tracing::trace!(kernel, nanoseconds, "a kernel ran");
            }
            drop(bytes);
            self.read.unmap();
            Ok(())
        })
    }
}

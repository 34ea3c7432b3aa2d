//! Dispatches, as one submission.

use std::{collections::HashMap, ops::Range};

use inference::DeviceError;
use shaders::Dispatch;
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding,
    BufferSize, CommandEncoder, ComputePassDescriptor, ComputePipeline,
};

use super::timestamps::Timestamps;
use crate::{
    device::Opened,
    memory::{GRAIN_WORDS, Piece, Store, WORD_BYTES},
};

/// Dispatches that are ready to be encoded: their pipelines are there, and their parameters are on
/// the device.
pub(super) struct Pass<'a> {
    dispatches: &'a [Dispatch],
    pipelines: Vec<ComputePipeline>,
    /// Where the parameters of each start, in bytes.
    offsets: Vec<u32>,
    groups: Vec<BindGroup>,
    /// Which of the groups each dispatch has.
    group_of: Vec<usize>,
    pub(super) params: Option<Piece>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        opened: &Opened,
        arena: &Buffer,
        store: &Store,
        dispatches: &'a [Dispatch],
    ) -> Result<Self, DeviceError> {
        let mut pass = Self {
            dispatches,
            pipelines: vec![],
            offsets: vec![],
            groups: vec![],
            group_of: vec![],
            params: None,
        };
        if dispatches.is_empty() {
            return Ok(pass);
        }
        let pipelines = dispatches.iter().map(|it| opened.pipelines.get(&it.shader));
        pass.pipelines = pipelines.collect::<Result<_, _>>()?;
        let (words, widest) = pass.place_params()?;
        let params = opened.pools.params.take(opened, words.len() as u64 * WORD_BYTES)?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        opened.guarded(bytes.len() as u64, |opened| {
            opened.queue.write_buffer(&params.buffer, 0, &bytes);
            pass.bind(opened, arena, store, &params.buffer, widest);
            Ok(())
        })?;
        pass.params = Some(params);
        Ok(pass)
    }

    /// All parameters one behind the other, and the bytes of the longest. There are as many words
    /// behind the last as a binding of that length reaches.
    fn place_params(&mut self) -> Result<(Vec<u32>, u64), DeviceError> {
        let (mut words, mut widest) = (vec![], GRAIN_WORDS as usize);
        for dispatch in self.dispatches {
            let start = u32::try_from(words.len() as u64 * WORD_BYTES);
            self.offsets.push(start.map_err(|_| DeviceError::TooLarge {
                what: "run's parameters",
                limit: u64::from(u32::MAX),
                found: words.len() as u64 * WORD_BYTES,
            })?);
            words.extend_from_slice(&dispatch.params);
            words.resize(words.len().next_multiple_of(GRAIN_WORDS as usize), 0);
            widest = widest.max(dispatch.params.len().next_multiple_of(GRAIN_WORDS as usize));
        }
        words.resize(words.len() + widest, 0);
        Ok((words, widest as u64 * WORD_BYTES))
    }

    /// A group for each range of weights that is bound.
    fn bind(
        &mut self,
        opened: &Opened,
        arena: &Buffer,
        store: &Store,
        params: &Buffer,
        widest: u64,
    ) {
        let mut known: HashMap<Range<u64>, usize> = HashMap::new();
        for dispatch in self.dispatches {
            let all = 0..store.words.min(opened.limits.binding_bytes / WORD_BYTES);
            let fixed = if dispatch.fixed.is_empty() { all } else { dispatch.fixed.clone() };
            let at = *known.entry(fixed.clone()).or_insert_with(|| {
                let entry = |binding, buffer, offset, size| BindGroupEntry {
                    binding,
                    resource: BindingResource::Buffer(BufferBinding { buffer, offset, size }),
                };
                let bytes = (fixed.end - fixed.start) * WORD_BYTES;
                let entries = [
                    entry(0, arena, 0, None),
                    entry(1, &store.buffer, fixed.start * WORD_BYTES, BufferSize::new(bytes)),
                    entry(2, params, 0, BufferSize::new(widest)),
                ];
                let layout = &opened.bindings;
                let group = BindGroupDescriptor { label: None, layout, entries: &entries };
                self.groups.push(opened.device().create_bind_group(&group));
                self.groups.len() - 1
            });
            self.group_of.push(at);
        }
    }

    /// Encodes them in their order, each over what the one before wrote.
    pub(super) fn encode(&self, encoder: &mut CommandEncoder, timestamps: Option<&Timestamps>) {
        let dispatches = self.dispatches.iter().enumerate();
        match timestamps {
            None if self.dispatches.is_empty() => {}
            None => {
                let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
                dispatches.for_each(|(at, dispatch)| self.dispatch(&mut pass, at, dispatch));
            }
            // The clock is read between passes.
            Some(timestamps) => {
                for (at, dispatch) in dispatches {
                    let descriptor = ComputePassDescriptor {
                        label: None,
                        timestamp_writes: Some(timestamps.writes(at as u32)),
                    };
                    let mut pass = encoder.begin_compute_pass(&descriptor);
                    self.dispatch(&mut pass, at, dispatch);
                }
            }
        }
    }

    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, at: usize, dispatch: &Dispatch) {
        let group = self.group_of.get(at).and_then(|at| self.groups.get(*at));
        if let (Some(pipeline), Some(offset)) = (self.pipelines.get(at), self.offsets.get(at)) {
            let [x, y, z] = dispatch.workgroups;
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[*offset]);
            pass.dispatch_workgroups(x, y, z);
        }
    }
}

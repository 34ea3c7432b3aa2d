//! Reading what is on a device.

use std::{ops::Range, sync::mpsc};

use inference::DeviceError;
use wgpu::{CommandEncoder, MapMode};

use crate::{
    device::Opened,
    memory::{GRAIN_WORDS, Piece, WORD_BYTES},
};

/// Pieces of an arena, to be copied to where they can be read.
pub(super) struct Answer {
    piece: Piece,
    /// Where each piece of the arena is in the buffer.
    places: Vec<Range<u64>>,
    length: u64,
}

impl Answer {
    /// A buffer for these bytes of the arena.
    pub(super) fn new(opened: &Opened, wanted: &[Range<u64>]) -> Result<Self, DeviceError> {
        let mut length = 0;
        let places: Vec<Range<u64>> = wanted
            .iter()
            .map(|range| {
                let start = length;
                let bytes = range.end - range.start;
                length += bytes.next_multiple_of(GRAIN_WORDS * WORD_BYTES);
                start..start + bytes
            })
            .collect();
        let piece = opened.pools.answers.take(opened, length)?;
        Ok(Self { piece, places, length })
    }

    /// Encodes the copies, into a buffer that holds nothing of an earlier run.
    pub(super) fn encode(
        &self,
        encoder: &mut CommandEncoder,
        arena: &wgpu::Buffer,
        wanted: &[Range<u64>],
    ) {
        encoder.clear_buffer(&self.piece.buffer, 0, None);
        for (from, to) in wanted.iter().zip(&self.places).filter(|(from, _)| !from.is_empty()) {
            let bytes = Some(from.end - from.start);
            let to = (&self.piece.buffer, to.start);
            encoder.copy_buffer_to_buffer(arena, from.start, to.0, to.1, bytes);
        }
    }

    /// Waits for the submission and hands the pieces to `read`, in their order.
    pub(super) fn read<T>(
        self,
        opened: &Opened,
        index: wgpu::SubmissionIndex,
        read: impl FnOnce(&[&[u8]]) -> T,
    ) -> Result<T, DeviceError> {
        let Self { piece, places, length } = self;
        let mut read = Some(read);
        let done = opened.guarded(0, |opened| {
            let (told, mapped) = mpsc::sync_channel(1);
            let slice = piece.buffer.slice(..length);
            slice.map_async(MapMode::Read, move |done| _ = told.send(done));
            opened.wait(index)?;
            // Another thread's wait may be the one that calls back.
            match mapped.recv_timeout(opened.hang_after()) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    return Err(DeviceError::Refused { detail: error.to_string() });
                }
                Err(_) => return Err(opened.say_lost("what it wrote cannot be read")),
            }
            let refused =
                |error: wgpu::MapRangeError| DeviceError::Refused { detail: error.to_string() };
            let bytes = slice.get_mapped_range().map_err(refused)?;
            let pieces: Vec<&[u8]> = places
                .iter()
                .map(|it| bytes.get(it.start as usize..it.end as usize).unwrap_or_default())
                .collect();
            let done = read.take().map(|read| read(&pieces));
            drop(pieces);
            drop(bytes);
            piece.buffer.unmap();
            Ok(done)
        });
        match done {
            Ok(done) => {
                opened.pools.answers.give_back(piece);
                done.ok_or(DeviceError::Refused { detail: "nothing was read".to_owned() })
            }
            Err(error) => {
                piece.give_up(opened);
                Err(error)
            }
        }
    }
}

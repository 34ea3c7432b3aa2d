//! Bytes on their way through: a body, or one side of a TCP connection.

use crate::{Dialect, Status};

/// The most that a guest can make one buffer hold. It bounds the host's memory, and is far above what
/// Envoy buffers (1 MiB by default).
pub(crate) const MAX_BUFFER_BYTES: usize = 256 * 1024 * 1024;

/// Bytes, as far as they have come and have not gone on.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    /// The guest can reach them.
    pub(crate) open: bool,
    /// The filter paused on them, so that the next piece is joined to them.
    pub(crate) held: bool,
}

impl Body {
    pub(crate) fn open(&mut self, piece: &[u8]) {
        if !self.held {
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(piece);
        self.open = true;
    }

    pub(crate) fn pass(&mut self) -> Vec<u8> {
        self.open = false;
        self.held = false;
        std::mem::take(&mut self.bytes)
    }

    /// `proxy_set_buffer_bytes`.
    pub(crate) fn splice(
        &mut self,
        dialect: Dialect,
        (start, length): (u32, u32),
        data: &[u8],
    ) -> Result<(), Status> {
        let size = self.bytes.len();
        if size.saturating_add(data.len()) > MAX_BUFFER_BYTES {
            return Err(Status::InternalFailure);
        }
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(size);
        let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(size);
        let prepends = start == 0 && length == 0;
        let replaces_all = start == 0 && end == size && length > 0;
        let appends = start == size && start > 0;
        if dialect == Dialect::Envoy && !(prepends || replaces_all || appends) {
            return Err(Status::BadArgument);
        }
        self.bytes.splice(start..end, data.iter().copied());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Body;
    use crate::{Dialect, Status};

    fn spliced(dialect: Dialect, range: (u32, u32)) -> Result<Vec<u8>, Status> {
        let mut body = Body { bytes: b"abcd".to_vec(), ..Body::default() };
        body.splice(dialect, range, b"-").map(|()| body.bytes)
    }

    #[test]
    fn both_dialects_put_before_put_after_and_replace_all() {
        for dialect in [Dialect::Envoy, Dialect::Specification] {
            assert_eq!(spliced(dialect, (0, 0)), Ok(b"-abcd".to_vec()));
            assert_eq!(spliced(dialect, (u32::MAX, 0)), Ok(b"abcd-".to_vec()));
            assert_eq!(spliced(dialect, (0, 4)), Ok(b"-".to_vec()));
            assert_eq!(spliced(dialect, (0, u32::MAX)), Ok(b"-".to_vec()));
        }
    }

    #[test]
    fn only_the_specification_replaces_a_piece() {
        assert_eq!(spliced(Dialect::Specification, (1, 2)), Ok(b"a-d".to_vec()));
        assert_eq!(spliced(Dialect::Specification, (2, 0)), Ok(b"ab-cd".to_vec()));
        assert_eq!(spliced(Dialect::Envoy, (1, 2)), Err(Status::BadArgument));
        assert_eq!(spliced(Dialect::Envoy, (0, 2)), Err(Status::BadArgument));
    }
}

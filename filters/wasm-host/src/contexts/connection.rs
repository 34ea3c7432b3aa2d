//! One TCP connection, as the host keeps it.

use crate::abi::Side;
use crate::contexts::Origin;
use crate::contexts::body::Body;

/// A client's connection and the one to the backend that it is joined to.
#[derive(Debug)]
pub(crate) struct ConnectionContext {
    pub(crate) origin: Origin,
    pub(crate) downstream: Stretch,
    pub(crate) upstream: Stretch,
    /// The filter paused the new connection.
    pub(crate) held: bool,
    /// The filter asked for an end; `proxy_close_stream` ends both sides.
    pub(crate) closed: bool,
}

/// One side.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) data: Body,
    /// The guest has let it go on since it was paused.
    pub(crate) resumed: bool,
    /// What went on without the embedder having asked yet.
    pub(crate) released: Vec<u8>,
    /// The guest was told of its close.
    pub(crate) told_closed: bool,
}

impl ConnectionContext {
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin,
            downstream: Stretch::default(),
            upstream: Stretch::default(),
            held: false,
            closed: false,
        }
    }

    pub(crate) fn side(&mut self, side: Side) -> &mut Stretch {
        match side {
            Side::Downstream => &mut self.downstream,
            Side::Upstream => &mut self.upstream,
        }
    }
}

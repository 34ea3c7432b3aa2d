//! Where the specification and Envoy part ways.

/// Whose behaviour a VM meets where the specification of ABI 0.2.1 and Envoy's implementation of it
/// differ.
///
/// | | [`Envoy`](Self::Envoy) | [`Specification`](Self::Specification) |
/// | --- | --- | --- |
/// | headers are paused | body and trailers wait unseen until the filter continues (Envoy's `allow_on_headers_stop_iteration: false`, its default) | "called for each chunk, even when the processing is paused" |
/// | `proxy_continue_stream` of an upstream | [`Status::Unimplemented`](crate::Status::Unimplemented) | the paused bytes go on |
/// | `proxy_set_buffer_bytes` inside a buffer | [`Status::BadArgument`](crate::Status::BadArgument): only before, after, or all of it | the piece is replaced |
/// | `proxy_get_header_map_size` of a map that cannot be changed | [`Status::BadArgument`](crate::Status::BadArgument) | its size |
/// | the end of an HTTP exchange | log, done, delete | done, log, delete |
/// | `proxy_on_done` of a stream answers false | is not heard | the context lives on until `proxy_done` |
/// | a TCP connection ends (done, log, delete) | once the client's side is closed | once both sides are |
/// | `proxy_on_upstream_connection_close` tells | nobody ([`Peer::Unknown`](crate::Peer::Unknown)), and comes with the backend's last bytes | who closed it |
/// | the end of a plugin | done, delete | done, log, delete |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// What a filter meets in Envoy 1.40.
    #[default]
    Envoy,
    /// What the text of the specification says.
    Specification,
}

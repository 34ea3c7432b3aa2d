//! Properties: what `proxy_get_property` finds under a path.
//!
//! A path is a list of parts with a zero byte between two. The embedder's values come first, then
//! those that follow from the stream itself, then what the guest set.

use crate::abi::MapKind;
use crate::context::StreamContext;

/// The values that follow from the headers of the stream: the attributes `request.*` and
/// `response.*` of Envoy's documentation, as far as headers tell them.
pub(crate) fn of_stream(stream: &StreamContext, path: &[u8]) -> Option<Vec<u8>> {
    let mut parts = path.split(|&byte| byte == 0);
    let first = parts.next()?;
    let second = parts.next()?;
    let third = parts.next();
    match first {
        b"request" => of_request(stream, second, third),
        b"response" => of_response(stream, second, third),
        _ => None,
    }
}

/// What the guest set. It is kept under the whole path, and found only by a path of one part.
pub(crate) fn of_filter_state(stream: &StreamContext, path: &[u8]) -> Option<Vec<u8>> {
    if path.contains(&0) {
        return None;
    }
    stream.filter_state.get(path).cloned()
}

fn of_request(stream: &StreamContext, name: &[u8], key: Option<&[u8]>) -> Option<Vec<u8>> {
    let headers = stream.readable(MapKind::RequestHeaders)?;
    let path = || headers.get(":path");
    let value = match name {
        b"headers" => headers.get(std::str::from_utf8(key?).ok()?)?,
        b"path" => path()?,
        b"url_path" => path()?.split(|&byte| byte == b'?').next()?,
        b"query" => path()?.splitn(2, |&byte| byte == b'?').nth(1).unwrap_or(b""),
        b"host" => headers.get(":authority")?,
        b"scheme" => headers.get(":scheme")?,
        b"method" => headers.get(":method")?,
        b"useragent" => headers.get("user-agent")?,
        b"referer" => headers.get("referer")?,
        b"id" => headers.get("x-request-id")?,
        _ => return None,
    };
    Some(value.to_vec())
}

fn of_response(stream: &StreamContext, name: &[u8], key: Option<&[u8]>) -> Option<Vec<u8>> {
    let headers = stream.readable(MapKind::ResponseHeaders)?;
    match name {
        b"headers" => headers.get(std::str::from_utf8(key?).ok()?).map(<[u8]>::to_vec),
        // Numbers cross the boundary as 8 bytes, little-endian.
        b"code" => {
            let code: i64 = headers.get_str(":status")?.parse().ok()?;
            Some(code.to_le_bytes().to_vec())
        }
        _ => None,
    }
}

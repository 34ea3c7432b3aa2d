//! Properties: what `proxy_get_property` finds under a path.
//!
//! A path is a list of parts with a zero byte between two. The embedder's values come first, then
//! those that follow from the VM and the stream itself, then what the guest set.

use std::time::Duration;

use crate::PropertyValue;
use crate::abi::MapKind;
use crate::contexts::Context;
use crate::contexts::exchange::{Direction, StreamContext};
use crate::state::HostState;

pub(crate) fn find(state: &HostState, path: &[u8]) -> Option<Vec<u8>> {
    let settings = &state.settings;
    let origin = state.origin();
    let given =
        origin.and_then(|origin| origin.given.get(path)).or_else(|| settings.properties.get(path));
    if let Some(value) = given {
        return Some(value.clone());
    }
    match path {
        b"plugin_name" => return Some(settings.plugin_name.clone().into_bytes()),
        b"plugin_root_id" => return Some(settings.root_id.clone().into_bytes()),
        b"plugin_vm_id" => return Some(settings.vm_id.clone().into_bytes()),
        _ => {}
    }
    let followed = match state.contexts.get(&state.acting())? {
        Context::Http(stream) => of_stream(stream, path, settings.clock.now()),
        Context::Root(_) | Context::Tcp(_) => None,
    };
    followed.map(PropertyValue::into_bytes).or_else(|| {
        // What the guest set is kept under the whole path, and found only by a path of one part.
        let set = origin.filter(|_| !path.contains(&0))?;
        set.set.get(path).cloned()
    })
}

/// The values that follow from the stream: the attributes `request.*` and `response.*` of Envoy's
/// documentation, as far as headers, bodies and the clock tell them.
fn of_stream(stream: &StreamContext, path: &[u8], now: Duration) -> Option<PropertyValue> {
    let mut parts = path.split(|&byte| byte == 0);
    let first = parts.next()?;
    let second = parts.next()?;
    let third = parts.next();
    match (first, second) {
        (b"request", b"time") => Some(stream.origin.began.into()),
        (b"request", b"duration") => {
            // Known once the request is complete.
            stream.logging.then(|| now.saturating_sub(stream.origin.began).into())
        }
        (b"request", b"size") => Some(signed(stream.request.size)),
        (b"request", b"total_size") => Some(total_size(&stream.request)),
        (b"response", b"size") => Some(signed(stream.response.size)),
        (b"response", b"total_size") => Some(total_size(&stream.response)),
        (b"request", _) => of_request(stream, second, third),
        (b"response", _) => of_response(stream, second, third),
        _ => None,
    }
}

fn of_request(stream: &StreamContext, name: &[u8], key: Option<&[u8]>) -> Option<PropertyValue> {
    let headers = stream.readable(MapKind::RequestHeaders)?;
    let path = || headers.get(":path");
    let value = match (name, key) {
        (b"headers", None) => return Some(headers.into()),
        (b"headers", Some(key)) => headers.get(std::str::from_utf8(key).ok()?)?,
        (b"path", _) => path()?,
        (b"url_path", _) => path()?.split(|&byte| byte == b'?').next()?,
        (b"query", _) => path()?.splitn(2, |&byte| byte == b'?').nth(1).unwrap_or(b""),
        (b"host", _) => headers.get(":authority")?,
        (b"scheme", _) => headers.get(":scheme")?,
        (b"method", _) => headers.get(":method")?,
        (b"useragent", _) => headers.get("user-agent")?,
        (b"referer", _) => headers.get("referer")?,
        (b"id", _) => headers.get("x-request-id")?,
        _ => return None,
    };
    Some(value.into())
}

fn of_response(stream: &StreamContext, name: &[u8], key: Option<&[u8]>) -> Option<PropertyValue> {
    match (name, key) {
        (b"trailers", key) => of_map(stream, MapKind::ResponseTrailers, key),
        (b"headers", key) => of_map(stream, MapKind::ResponseHeaders, key),
        (b"code", _) => {
            let headers = stream.readable(MapKind::ResponseHeaders)?;
            headers.get_str(":status")?.parse::<i64>().ok().map(PropertyValue::from)
        }
        _ => None,
    }
}

fn of_map(stream: &StreamContext, kind: MapKind, key: Option<&[u8]>) -> Option<PropertyValue> {
    let headers = stream.readable(kind)?;
    match key {
        None => Some(headers.into()),
        Some(key) => headers.get(std::str::from_utf8(key).ok()?).map(PropertyValue::from),
    }
}

fn total_size(direction: &Direction) -> PropertyValue {
    let maps = direction.headers.headers.byte_size() + direction.trailers.headers.byte_size();
    signed(direction.size.saturating_add(maps as u64))
}

fn signed(size: u64) -> PropertyValue {
    i64::try_from(size).unwrap_or(i64::MAX).into()
}

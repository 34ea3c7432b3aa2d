//! The server behind the proxies: it answers every request and says what reached it.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, body::Incoming, header::AUTHORIZATION, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tenancy::headers;
use tokio::{net::TcpListener, task::spawn_local};

/// The header of each answer that names the credentials and the internal headers that reached the
/// upstream, sorted and joined by commas.
pub(crate) const SEEN: &str = "x-seen";

/// A request that carries this header gets the passport that reached the upstream back in it.
pub(crate) const SHOW: &str = "x-show-passport";

/// Serves on a free port of 127.0.0.1, on the local task set, until that is dropped.
pub(crate) async fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = service_fn(async |request| Ok::<_, Infallible>(answer(&request)));
            spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(b"ok\n")));
    let names = request.headers().keys().map(|name| name.as_str());
    let mut seen: Vec<&str> = names
        .filter(|name| *name == AUTHORIZATION.as_str() || headers::is_internal(name.as_bytes()))
        .collect();
    seen.sort_unstable();
    if let Ok(seen) = seen.join(",").parse() {
        answer.headers_mut().insert(SEEN, seen);
    }
    if request.headers().contains_key(SHOW)
        && let Some(passport) = request.headers().get(headers::PASSPORT)
    {
        answer.headers_mut().insert(SHOW, passport.clone());
    }
    answer
}

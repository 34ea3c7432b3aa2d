//! The HTTP client that asks issuers.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, Url, redirect};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one whole request, body included.
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 3;

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("expected to build an HTTPS client, found: {0}")]
pub struct ClientError(#[source] reqwest::Error);

/// A client that never leaves `https` by a redirect, and gives up in bounded time.
///
/// It trusts the system's certificate authorities. Where the system has none, every `https`
/// issuer fails with an unknown authority, and says so in its status; loopback issuers work.
///
/// # Errors
/// [`ClientError`], where TLS cannot be set up at all.
pub fn http_client() -> Result<Client, ClientError> {
    // Another part of the process may have installed one already: that one is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder().build().or_else(|error| {
        tracing::warn!(
            %error,
            "the system's certificate authorities cannot be read, so no https issuer can be reached; install the package ca-certificates"
        );
        builder().tls_certs_only([]).build().map_err(ClientError)
    })
}

fn builder() -> ClientBuilder {
    let builder = Client::builder().no_proxy();
    // The environment's proxy is for https alone: what a proxy answers for plain http on loopback
    // would be the proxy's word, and not this machine's.
    let proxy = ["HTTPS_PROXY", "https_proxy"].into_iter().find_map(|name| {
        Proxy::https(std::env::var(name).ok()?)
            .ok()
            .map(|proxy| proxy.no_proxy(NoProxy::from_env()))
    });
    let builder = match proxy {
        Some(proxy) => builder.proxy(proxy),
        None => builder,
    };
    builder
        .user_agent(concat!("bulkhead/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::custom(|attempt| {
            let stays = attempt
                .previous()
                .last()
                .is_some_and(|from| from.scheme() == attempt.url().scheme());
            if attempt.previous().len() > MAX_REDIRECTS {
                attempt.error("expected at most 3 redirects")
            } else if stays && may_be_asked(attempt.url()) {
                attempt.follow()
            } else {
                attempt.error("expected a redirect within https, or within loopback http")
            }
        }))
}

/// Whether keys fetched from there can be believed: over TLS, or without leaving the machine.
pub(crate) fn may_be_asked(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        // `Url` writes every form of an IPv4 address as dotted decimals.
        "http" => url.host_str().is_some_and(|host| {
            host == "localhost"
                || host == "[::1]"
                || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        }),
        _ => false,
    }
}

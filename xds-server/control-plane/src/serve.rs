//! The HTTP interface's sockets: plain or TLS, with bounds on what a silent peer can hold.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use axum::Router;
use axum_server::{
    Handle,
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::net::TcpListener;

use crate::exposure::TlsFiles;

/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests under way may take once the server is to stop.
const GRACE: Duration = Duration::from_secs(4);

/// How often an idle HTTP/2 connection is probed.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The certificate in force, read again when its files change.
pub(crate) struct Certificate {
    files: TlsFiles,
    config: RustlsConfig,
    /// When the files that are in force were changed last.
    seen: Mutex<Option<(SystemTime, SystemTime)>>,
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn open(files: TlsFiles) -> anyhow::Result<Self> {
        let seen = Mutex::new(changed(&files));
        let config = RustlsConfig::from_config(Arc::new(read(&files)?));
        Ok(Self { files, config, seen })
    }

    /// Reads the files again where they have changed; what cannot be used leaves in force what was.
    pub(crate) fn refresh(&self) {
        let now = changed(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        *seen = now;
        match read(&self.files) {
            Ok(config) => {
                self.config.reload_from_config(Arc::new(config));
                tracing::info!("the certificate was read again");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the certificate cannot be used; the one before stays");
            }
        }
    }
}

fn changed(files: &TlsFiles) -> Option<(SystemTime, SystemTime)> {
    let time = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    Some((time(&files.certificate)?, time(&files.key)?))
}

fn read(files: &TlsFiles) -> anyhow::Result<ServerConfig> {
    let certificate = || format!("certificate {}", files.certificate.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .with_context(certificate)?
        .collect::<Result<Vec<_>, _>>()
        .with_context(certificate)?;
    anyhow::ensure!(!chain.is_empty(), "{}: expected a PEM certificate, found none", certificate());
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("private key {}", files.key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| {
            format!("{} and {} do not belong together", certificate(), files.key.display())
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Answers until `until` is ready, and then what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    certificate: Option<&Certificate>,
    app: Router,
    until: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = listener.into_std().context("the HTTP listener cannot be used")?;
    let handle = Handle::new();
    let stopping = handle.clone();
    tokio::spawn(async move {
        until.await;
        stopping.graceful_shutdown(Some(GRACE));
    });
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(HEAD_TIMEOUT);
    let plain = NoDelayAcceptor::new();
    match certificate {
        None => server.acceptor(plain).serve(app).await,
        Some(certificate) => {
            let tls = RustlsAcceptor::new(certificate.config.clone()).acceptor(plain);
            server.acceptor(tls).serve(app).await
        }
    }
    .context("the HTTP server failed")
}

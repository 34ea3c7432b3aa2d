//! Sockets to listen on.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};

use crate::Listen;

/// A connection of either kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A listening socket of either kind.
pub(crate) enum Listener {
    Unix { listener: UnixListener, path: PathBuf },
    Tcp(TcpListener),
}

impl Listener {
    /// Listens. The file of a Unix socket that nobody answers on is replaced.
    pub(crate) async fn bind(listen: &Listen) -> anyhow::Result<Self> {
        match listen {
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address)
                    .await
                    .with_context(|| format!("could not listen on {address}"))?;
                Ok(Self::Tcp(listener))
            }
            Listen::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)
                    .with_context(|| format!("could not listen on `{}`", path.display()))?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))
                    .with_context(|| format!("could not make `{}` private", path.display()))?;
                Ok(Self::Unix { listener, path: path.clone() })
            }
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Io>> {
        match self {
            Self::Unix { listener, .. } => {
                listener.accept().await.map(|(stream, _)| Box::new(stream) as Box<dyn Io>)
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Without it, an answer could wait for the acknowledgement of its own head.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path, .. } = self {
            // A file that stays is found stale by the next start.
            let _ = fs::remove_file(path);
        }
    }
}

fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("could not look at `{}`", path.display()));
        }
    };
    if !metadata.file_type().is_socket() {
        bail!(
            "expected `{}` to be free or a socket, found another file: it is left alone",
            path.display()
        );
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => bail!(
            "expected nobody on `{}`, found a process that answers there: stop it first",
            path.display()
        ),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .with_context(|| format!("could not remove the stale socket `{}`", path.display())),
        Err(error) => Err(error).with_context(|| {
            format!("expected nobody on `{}`, could not find out", path.display())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_or_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sidecar.sock");
        let listen = Listen::Unix(path.clone());
        // A listener of the standard library leaves its file behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let first = Listener::bind(&listen).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Listener::bind(&listen).await.is_err());
        drop(first);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        assert!(Listener::bind(&listen).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }
}

//! Sockets to listen on.

use std::{
    fs,
    future::Future,
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};

use crate::Listen;

/// How often a socket's file is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A connection of either kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A listening socket of either kind.
pub(crate) enum Listener {
    Unix { listener: UnixListener, file: SocketFile },
    Tcp(TcpListener),
}

/// The file of a Unix socket, as long as it is this one.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The device and the number of the file.
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// Waits until another socket stands in its place.
    pub(crate) fn replaced(&self) -> impl Future<Output = ()> + Send + use<> {
        let (path, own) = (self.path.clone(), self.identity);
        async move {
            while !identity(&path).is_ok_and(|identity| identity != own) {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Listener {
    /// Listens. The file of a Unix socket that nobody answers on is replaced; with `take_over` the
    /// file of one that a process answers on is too, at one moment, so that nobody is refused who
    /// connects meanwhile.
    pub(crate) async fn bind(listen: &Listen, take_over: bool) -> anyhow::Result<Self> {
        match listen {
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address)
                    .await
                    .with_context(|| format!("could not listen on {address}"))?;
                Ok(Self::Tcp(listener))
            }
            Listen::Unix(path) => {
                check_replaceable(path, take_over)?;
                let (listener, file) = bind_unix(path)
                    .with_context(|| format!("could not listen on `{}`", path.display()))?;
                Ok(Self::Unix { listener, file })
            }
        }
    }

    /// The file that it listens at, where it does at one.
    pub(crate) const fn file(&self) -> Option<&SocketFile> {
        match self {
            Self::Unix { file, .. } => Some(file),
            Self::Tcp(_) => None,
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

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that stays is found stale by the next start; another one's is left alone.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`, of mode 0600 from its first moment there, in place of whatever socket is.
fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let _ = fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
    fs::rename(&temporary, path)?;
    Ok((listener, SocketFile::of(path)?))
}

fn check_replaceable(path: &Path, take_over: bool) -> anyhow::Result<()> {
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
    if take_over {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => bail!(
            "expected nobody on `{}`, found a process that answers there: stop it first, or take \
             over from it (`--take-over`)",
            path.display()
        ),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
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
        let first = Listener::bind(&listen, false).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Listener::bind(&listen, false).await.is_err());
        drop(first);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        assert!(Listener::bind(&listen, false).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }

    #[tokio::test]
    async fn one_that_takes_over_gets_the_next_connections_and_keeps_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sidecar.sock");
        let listen = Listen::Unix(path.clone());
        let before = Listener::bind(&listen, false).await.unwrap();
        let replaced = tokio::spawn(before.file().unwrap().replaced());
        let after = Listener::bind(&listen, true).await.unwrap();
        let connected = tokio::net::UnixStream::connect(&path).await.unwrap();
        after.accept().await.unwrap();
        drop(connected);
        replaced.await.unwrap();
        drop(before);
        assert!(path.exists());
        drop(after);
        assert!(!path.exists());
    }
}

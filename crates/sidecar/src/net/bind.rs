//! The sockets of listeners, of TCP and of Unix.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
};

use portcullis_serving::connections::Accept;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::config::{Listen, ListenerConfig};

/// A connection of either kind.
pub(crate) type Stream = Either<TcpStream, UnixStream>;

/// A socket that accepts connections.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Opens the socket. A socket file that nobody serves any more is replaced.
    pub(crate) async fn bind(config: &ListenerConfig) -> io::Result<Self> {
        match &config.listen {
            Listen::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Listen::Unix(path) => {
                refuse_served(path).await?;
                let (listener, file) = bind_unix(path, config.socket_mode)?;
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// Where it listens, with the port that the system chose.
    pub(crate) fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => Ok(Listen::Tcp(listener.local_addr()?)),
            Self::Unix(_, file) => Ok(Listen::Unix(file.path.clone())),
        }
    }
}

impl Accept for Listener {
    type Stream = Stream;
    type Peer = ();

    async fn accept(&self) -> io::Result<(Stream, ())> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = Accept::accept(listener).await?;
                Ok((Either::Left(stream), ()))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Either::Right(stream), ()))
            }
        }
    }
}

/// Fails when the path belongs to something else: to a process that listens there, or to a file that is no socket.
async fn refuse_served(path: &Path) -> io::Result<()> {
    // A link is not followed. It is no socket of a sidecar, and its target may be anything.
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        let problem = "a file that is no socket is there: remove it, or choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
    }
    match UnixStream::connect(path).await {
        // The process that made it is gone.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        // Without an answer from the other side nobody knows whether the socket is served, so it
        // stays.
        Err(error) => Err(error),
        Ok(_) => {
            let problem = "another process listens there";
            Err(io::Error::new(io::ErrorKind::AddrInUse, problem))
        }
    }
}

/// Makes the socket beside its path, sets its permissions, and moves it there. At no moment does the path lead to a
/// socket with other permissions.
fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let mut beside = OsString::from(path);
    // The number of the process keeps apart two sidecars that start at the same moment.
    beside.push(format!(".{}", process::id()));
    let beside = PathBuf::from(beside);
    let listener = UnixListener::bind(&beside)?;

    let moved = fs::set_permissions(&beside, fs::Permissions::from_mode(mode))
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| fs::symlink_metadata(path));
    match moved {
        Ok(metadata) => {
            let file = SocketFile {
                path: path.to_owned(),
                inode: metadata.ino(),
            };
            Ok((listener, file))
        }
        Err(error) => {
            let _ = fs::remove_file(&beside);
            Err(error)
        }
    }
}

/// The file of a Unix socket. It is removed with this value, unless another process has replaced it.
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode);
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

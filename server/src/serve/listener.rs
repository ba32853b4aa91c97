//! Listening: TCP, TLS, or a Unix socket.

use std::fs::{Permissions, metadata, remove_file, set_permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};

use super::tls::TlsConfigs;
use crate::options::{HostPort, Listen};

const BACKLOG: u32 = 1024;
/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// An open listener. Dropping it closes it, and removes the file of a Unix socket.
pub enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener, TlsConfigs),
    Unix(SocketFile, UnixListener),
}

/// A connection that was accepted; with TLS, before its handshake.
pub enum Accepted {
    Tcp(TcpStream),
    Tls(TcpStream, TlsConfigs),
    Unix(UnixStream),
}

/// Where a listener can be reached.
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Listener {
    /// `tls` is not used for a Unix socket. The error names the address.
    pub async fn open(listen: &Listen, tls: Option<TlsConfigs>) -> Result<Self, String> {
        match listen {
            Listen::Tcp(address) => match (bind(address).await?, tls) {
                (listener, Some(configs)) => Ok(Self::Tls(listener, configs)),
                (listener, None) => Ok(Self::Tcp(listener)),
            },
            Listen::Unix(path) => {
                let listener = open_socket(path).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
                Ok(Self::Unix(SocketFile(path.clone()), listener))
            }
        }
    }

    pub async fn plain(address: &HostPort) -> Result<Self, String> {
        bind(address).await.map(Self::Tcp)
    }

    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => listener.local_addr().map(Address::Tcp),
            Self::Unix(file, _) => Ok(Address::Unix(file.0.clone())),
        }
    }

    /// Waits for a connection.
    pub async fn accept(&self) -> Accepted {
        loop {
            match self.try_accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    // Out of file descriptors, for example: waits for some to be closed instead of looping.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => Ok(Accepted::Tcp(listener.accept().await?.0)),
            Self::Tls(listener, configs) => Ok(Accepted::Tls(listener.accept().await?.0, configs.clone())),
            Self::Unix(_, listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

async fn bind(address: &HostPort) -> Result<TcpListener, String> {
    TcpListener::bind(address.as_str()).await.map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Replaces the socket of a process that is gone.
fn open_socket(path: &Path) -> io::Result<UnixListener> {
    match metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other("the file exists and is no socket"));
        }
        Ok(_) => match BlockingUnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => remove_file(path)?,
            Err(error) => return Err(error),
            Ok(_) => return Err(io::Error::other("another process listens there")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Set before `listen`: no client can connect earlier, so the umask does not matter.
    set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    socket.listen(BACKLOG)
}

/// The file of a Unix socket. It is removed before the listener is closed: after that, another process may have put its
/// own socket there.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = remove_file(&self.0) {
            tracing::warn!(%error, "the socket's file was not removed");
        }
    }
}

impl Address {
    /// Whether other machines may reach it.
    pub fn is_beyond_loopback(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

//! Where to listen.

use std::fmt;
use std::path::PathBuf;

use super::OptionsError;

/// `HOST:PORT`, as it was given: a name is looked up when the listener is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort(String);

impl HostPort {
    pub(super) fn parse(from: &'static str, text: String) -> Result<Self, OptionsError> {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match parts.and_then(|(_, port)| port.parse::<u16>().ok()) {
            Some(_) => Ok(Self(text)),
            None => Err(OptionsError::Listen { from, found: text }),
        }
    }

    pub(super) fn loopback(port: u16) -> Self {
        Self(format!("127.0.0.1:{port}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or("", |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    Tcp(HostPort),
    Unix(PathBuf),
}

impl Listen {
    pub(super) fn parse(text: String) -> Result<Self, OptionsError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(OptionsError::Listen { from: "--listen", found: text }),
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => HostPort::parse("--listen", text).map(Self::Tcp),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_brackets_and_no_port() {
        for (text, host) in [("localhost:3000", "localhost"), ("[::1]:0", "::1"), ("0.0.0.0:65535", "0.0.0.0")] {
            assert_eq!(HostPort::parse("--listen", text.to_owned()).unwrap().host(), host);
        }
    }

    #[test]
    fn a_path_after_unix_is_a_socket() {
        assert_eq!(Listen::parse("unix:a/b".to_owned()).unwrap(), Listen::Unix(PathBuf::from("a/b")));
        for bad in ["unix:", "unix", "", ":1", "a:", "a:65536", "a"] {
            assert!(Listen::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }
}

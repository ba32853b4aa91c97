//! The address of Redis, as the options give it.

use std::fmt;

use redis::{ConnectionInfo, IntoConnectionInfo};
use thiserror::Error;

/// The address of Redis. `Display` and `Debug` leave out user and password.
#[derive(Clone)]
pub struct RedisUrl(Box<ConnectionInfo>);

#[derive(Debug, Error)]
pub enum RedisUrlError {
    #[error("it does not start with redis:// or rediss://")]
    Scheme,
    #[error("it is not a URL of the form redis://[user:password@]host[:port][/database]")]
    Form,
}

impl RedisUrl {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.
    pub fn parse(url: &str) -> Result<Self, RedisUrlError> {
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err(RedisUrlError::Scheme);
        }
        url.into_connection_info().map(|info| Self(Box::new(info))).map_err(|_| RedisUrlError::Form)
    }

    pub(super) fn into_connection_info(self) -> ConnectionInfo {
        *self.0
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.addr() {
            redis::ConnectionAddr::TcpTls { .. } => "rediss",
            _ => "redis",
        };
        write!(f, "{scheme}://{}/{}", self.0.addr(), self.0.redis_settings().db())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

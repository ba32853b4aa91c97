//! Which store to use, and how.

use std::time::Duration;

use super::cli::StoreFlags;
use super::{OptionsError, either, pair, port, size};
use crate::store::{CredentialFiles, RedisConfig, RedisUrl};

const DEFAULT_REDIS_HOST: &str = "127.0.0.1";
const DEFAULT_REDIS_PORT: u16 = 6379;
const DEFAULT_NAMESPACE: &str = "rs";
/// Bytes of an answer for everything but `d`: an id of 128 characters, escaped, takes most of them. So the largest session
/// is no larger than the largest answer that the filter reads.
const REST_OF_SESSION: usize = 1024;

/// The store that the options select.
#[derive(Debug)]
pub enum StoreChoice {
    Memory { max_bytes: usize, max_session_bytes: usize },
    Redis(Box<RedisConfig>),
}

/// A flag overrides its variable.
pub(super) fn store(
    flags: StoreFlags,
    env: &impl Fn(&'static str) -> Option<String>,
) -> Result<StoreChoice, OptionsError> {
    let max_session_bytes = size(flags.max_session_bytes).saturating_sub(REST_OF_SESSION);
    let namespace = namespace(flags.namespace, env("RS_NAMESPACE"))?;
    pair(("--store-cert", flags.store_cert.is_some()), ("--store-key", flags.store_key.is_some()))?;
    let url = match flags.store {
        Some(store) => parse("--store", &store)?,
        None => from_env(env)?,
    };
    let Some(url) = url else {
        return Ok(StoreChoice::Memory {
            max_bytes: size(flags.memory_limit).saturating_mul(1 << 20),
            max_session_bytes,
        });
    };
    let files = CredentialFiles {
        password: flags.store_password_file,
        sentinel_password: flags.sentinel_password_file,
        ca: flags.store_ca,
        identity: flags.store_cert.zip(flags.store_key),
    };
    let timeout = Duration::from_millis(flags.store_timeout);
    Ok(StoreChoice::Redis(Box::new(RedisConfig { url, files, namespace, timeout, max_session_bytes })))
}

/// `None` is the store in memory.
fn from_env(env: &impl Fn(&'static str) -> Option<String>) -> Result<Option<RedisUrl>, OptionsError> {
    if let Some(url) = env("RS_REDISURL") {
        return parse("RS_REDISURL", &url);
    }
    let (host, port_found) = (env("RS_REDISHOST"), env("RS_REDISPORT"));
    if host.is_none() && port_found.is_none() {
        return Ok(None);
    }
    let host = host.unwrap_or_else(|| DEFAULT_REDIS_HOST.to_owned());
    let port = port_found.map_or(Ok(DEFAULT_REDIS_PORT), |found| port("RS_REDISPORT", found))?;
    // An IPv6 address has brackets in a URL, and none in the original's variable.
    let authority = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
    if host.contains(['/', '@', '?', '#', ' ']) {
        return Err(OptionsError::RedisHost(host));
    }
    RedisUrl::parse(&format!("redis://{authority}:{port}")).map(Some).map_err(|_| OptionsError::RedisHost(host))
}

fn parse(from: &'static str, store: &str) -> Result<Option<RedisUrl>, OptionsError> {
    if store == "memory" {
        return Ok(None);
    }
    RedisUrl::parse(store).map(Some).map_err(|problem| OptionsError::Store { from, problem })
}

fn namespace(flag: Option<String>, variable: Option<String>) -> Result<String, OptionsError> {
    let Some((from, found)) = either(flag, "--namespace", variable, "RS_NAMESPACE") else {
        return Ok(DEFAULT_NAMESPACE.to_owned());
    };
    if (1..=100).contains(&found.len()) && found.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(found)
    } else {
        Err(OptionsError::Namespace { from, found })
    }
}

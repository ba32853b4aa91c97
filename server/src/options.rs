//! The options: command line and environment, validated before anything starts.

use std::time::Duration;

use clap::Parser;
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use crate::store::{RedisUrl, RedisUrlError};

const DEFAULT_PORT: u16 = 3000;
const DEFAULT_REDIS_HOST: &str = "127.0.0.1";
const DEFAULT_REDIS_PORT: u16 = 6379;
const DEFAULT_NAMESPACE: &str = "rs";

/// The session service: rest-sessions' HTTP interface over memory or Redis.
///
/// It does not authenticate its callers: every client that reaches it can read, change and end every session. Never
/// expose it to the outside. Listen on loopback, or on a network that only your own services share.
#[derive(Parser)]
#[command(name = "rest-sessions", version, max_term_width = 100)]
pub struct Cli {
    /// Address and port to listen on; port 0 selects a free port [default: 127.0.0.1:3000, or the port in RS_PORT]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,

    /// Store of the sessions: memory (for development; lost with the process), or
    /// redis://[user:password@]host[:port][/database], rediss:// with TLS [default: memory, or the Redis of
    /// RS_REDISURL, or of RS_REDISHOST and RS_REDISPORT]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,

    /// Prefix of all keys in Redis [default: rs] [env: RS_NAMESPACE]
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,

    /// Log level: none, error, warn, info, debug (a line for each request), trace; dev equals debug [default: info]
    /// [env: RS_LOGLEVEL]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// Milliseconds that Redis has to answer; after that, the request is answered 503
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 750, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    store_timeout: u64,

    /// Seconds between two sweeps of expired sessions; 0 disables sweeping
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    sweep_interval: u64,

    /// MiB that sessions in memory may take; beyond that, creating one is answered 503
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    memory_limit: u32,

    /// Connections at the same time; further ones wait to be accepted
    #[arg(long, value_name = "COUNT", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,

    /// Seconds for a request to arrive, for an idle connection to stay open, and for a response to be accepted
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    client_timeout: u64,

    /// Seconds that requests in flight have to finish after SIGTERM or SIGINT
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    shutdown_timeout: u64,
}

/// The validated options.
#[derive(Debug)]
pub struct Options {
    pub listen: String,
    pub store: StoreChoice,
    pub namespace: String,
    pub log_level: LevelFilter,
    pub store_timeout: Duration,
    /// `None` disables sweeping.
    pub sweep_interval: Option<Duration>,
    pub memory_bytes: usize,
    pub max_connections: usize,
    pub client_timeout: Duration,
    pub shutdown_timeout: Duration,
}

/// The store that the options select.
#[derive(Debug)]
pub enum StoreChoice {
    Memory,
    Redis(RedisUrl),
}

/// No message contains the URL of a store, which may contain a password.
#[derive(Debug, Error)]
pub enum OptionsError {
    #[error("{from}: {found:?} is not a port; expected a number from 0 to 65535")]
    Port { from: &'static str, found: String },
    #[error("--listen: {0:?} is not HOST:PORT; expected for example 127.0.0.1:3000")]
    Listen(String),
    #[error("{from}: expected memory, redis://… or rediss://…, and {problem}")]
    Store { from: &'static str, problem: RedisUrlError },
    #[error("RS_REDISHOST: {0:?} is not a host name or an address")]
    RedisHost(String),
    #[error("{from}: {found:?} is not a level; expected none, error, warn, info, debug, trace or dev")]
    Level { from: &'static str, found: String },
    #[error("{from}: {found:?} is not a namespace; expected 1 to 100 visible ASCII characters")]
    Namespace { from: &'static str, found: String },
}

/// Validates the options. `env` returns a variable; as in the original, an empty one counts as not set.
pub fn resolve(cli: Cli, env: impl Fn(&str) -> Option<String>) -> Result<Options, OptionsError> {
    let env = |name: &'static str| env(name).filter(|value| !value.is_empty());
    let mebibytes = usize::try_from(cli.memory_limit).unwrap_or(usize::MAX);
    Ok(Options {
        listen: listen(cli.listen, env("RS_PORT"))?,
        store: match cli.store {
            Some(store) => parse_store("--store", &store)?,
            None => store_from_env(&env)?,
        },
        namespace: namespace(cli.namespace, env("RS_NAMESPACE"))?,
        log_level: log_level(cli.log_level, env("RS_LOGLEVEL"))?,
        store_timeout: Duration::from_millis(cli.store_timeout),
        sweep_interval: Some(Duration::from_secs(cli.sweep_interval)).filter(|interval| !interval.is_zero()),
        memory_bytes: mebibytes.saturating_mul(1 << 20),
        max_connections: usize::try_from(cli.max_connections).unwrap_or(usize::MAX),
        client_timeout: Duration::from_secs(cli.client_timeout),
        shutdown_timeout: Duration::from_secs(cli.shutdown_timeout),
    })
}

/// The value of the flag, else that of the variable, with the name of its source.
fn either(
    flag: Option<String>,
    flag_name: &'static str,
    variable: Option<String>,
    variable_name: &'static str,
) -> Option<(&'static str, String)> {
    flag.map(|value| (flag_name, value)).or(variable.map(|value| (variable_name, value)))
}

fn listen(flag: Option<String>, variable: Option<String>) -> Result<String, OptionsError> {
    if let Some(address) = flag {
        let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        return match port.and_then(|port| port.parse::<u16>().ok()) {
            Some(_) => Ok(address),
            None => Err(OptionsError::Listen(address)),
        };
    }
    let port = variable.map_or(Ok(DEFAULT_PORT), |found| port("RS_PORT", found))?;
    Ok(format!("127.0.0.1:{port}"))
}

fn port(from: &'static str, found: String) -> Result<u16, OptionsError> {
    found.parse().map_err(|_| OptionsError::Port { from, found })
}

fn store_from_env(env: &impl Fn(&'static str) -> Option<String>) -> Result<StoreChoice, OptionsError> {
    if let Some(url) = env("RS_REDISURL") {
        return parse_store("RS_REDISURL", &url);
    }
    let (host, port_found) = (env("RS_REDISHOST"), env("RS_REDISPORT"));
    if host.is_none() && port_found.is_none() {
        return Ok(StoreChoice::Memory);
    }
    let host = host.unwrap_or_else(|| DEFAULT_REDIS_HOST.to_owned());
    let port = port_found.map_or(Ok(DEFAULT_REDIS_PORT), |found| port("RS_REDISPORT", found))?;
    // An IPv6 address has brackets in a URL, and none in the original's variable.
    let authority = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
    let url = format!("redis://{authority}:{port}");
    if host.contains(['/', '@', '?', '#', ' ']) {
        return Err(OptionsError::RedisHost(host));
    }
    RedisUrl::parse(&url).map(StoreChoice::Redis).map_err(|_| OptionsError::RedisHost(host))
}

fn parse_store(from: &'static str, store: &str) -> Result<StoreChoice, OptionsError> {
    if store == "memory" {
        return Ok(StoreChoice::Memory);
    }
    RedisUrl::parse(store).map(StoreChoice::Redis).map_err(|problem| OptionsError::Store { from, problem })
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

fn log_level(flag: Option<String>, variable: Option<String>) -> Result<LevelFilter, OptionsError> {
    let Some((from, found)) = either(flag, "--log-level", variable, "RS_LOGLEVEL") else {
        return Ok(LevelFilter::INFO);
    };
    match found.as_str() {
        "none" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" | "dev" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(OptionsError::Level { from, found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(flags: &[&str], variables: &[(&str, &str)]) -> Result<Options, OptionsError> {
        let cli = Cli::parse_from(std::iter::once(&"rest-sessions").chain(flags));
        resolve(cli, |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn store(flags: &[&str], variables: &[(&str, &str)]) -> String {
        match resolved(flags, variables).unwrap().store {
            StoreChoice::Memory => "memory".to_owned(),
            StoreChoice::Redis(url) => url.to_string(),
        }
    }

    #[test]
    fn the_defaults_are_loopback_and_memory() {
        let options = resolved(&[], &[]).unwrap();
        assert_eq!(options.listen, "127.0.0.1:3000");
        assert!(matches!(options.store, StoreChoice::Memory));
        assert_eq!(options.namespace, "rs");
    }

    #[test]
    fn a_host_or_a_port_of_redis_selects_redis() {
        assert_eq!(store(&[], &[("RS_REDISHOST", "cache.example.com")]), "redis://cache.example.com:6379/0");
        assert_eq!(store(&[], &[("RS_REDISPORT", "7000")]), "redis://127.0.0.1:7000/0");
        assert_eq!(store(&[], &[("RS_REDISHOST", "::1"), ("RS_REDISPORT", "7000")]), "redis://[::1]:7000/0");
        assert_eq!(store(&[], &[("RS_REDISHOST", ""), ("RS_REDISPORT", "")]), "memory");
        let both = [("RS_REDISHOST", "a"), ("RS_REDISURL", "rediss://b:1/2")];
        assert_eq!(store(&[], &both), "rediss://b:1/2");
        assert_eq!(store(&["--store", "memory"], &both), "memory");
    }

    #[test]
    fn debug_output_does_not_show_a_password() {
        let options = resolved(&["--store", "redis://user:top-secret@h/1"], &[]).unwrap();
        assert!(!format!("{options:?}").contains("top-secret"));
    }

    #[test]
    fn a_sweep_interval_of_0_disables_sweeping() {
        assert_eq!(resolved(&["--sweep-interval", "0"], &[]).unwrap().sweep_interval, None);
        assert_eq!(resolved(&[], &[]).unwrap().sweep_interval, Some(Duration::from_secs(600)));
    }

    #[test]
    fn the_log_levels_of_the_original_are_accepted() {
        for (level, expected) in [("none", LevelFilter::OFF), ("dev", LevelFilter::DEBUG), ("", LevelFilter::INFO)] {
            assert_eq!(resolved(&[], &[("RS_LOGLEVEL", level)]).unwrap().log_level, expected);
        }
    }
}

//! The options: command line and environment, validated before anything starts.

mod cli;
mod listen;
mod store;

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tracing::level_filters::LevelFilter;

pub use self::cli::Cli;
pub use self::listen::{HostPort, Listen};
pub use self::store::StoreChoice;
use self::store::store;
use crate::access::HostPattern;
use crate::store::RedisUrlError;

const DEFAULT_PORT: u16 = 3000;

/// The validated options. Files are not read yet.
#[derive(Debug)]
pub struct Options {
    pub listen: Listen,
    /// Where /livez, /readyz and /metrics are served in plain HTTP.
    pub admin_listen: Option<HostPort>,
    /// `None` listens without TLS.
    pub tls: Option<TlsFiles>,
    pub secret_file: Option<PathBuf>,
    pub access_file: Option<PathBuf>,
    /// Beside the hosts that are always allowed.
    pub allowed_hosts: Vec<HostPattern>,
    pub store: StoreChoice,
    pub log_level: LevelFilter,
    pub log_format: LogFormat,
    /// `None` logs no request as slow.
    pub slow_request: Option<Duration>,
    /// `None` disables sweeping.
    pub sweep_interval: Option<Duration>,
    pub max_connections: usize,
    pub client_timeout: Duration,
    pub drain_delay: Duration,
    pub shutdown_timeout: Duration,
}

/// The files of a listener with TLS, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// If given, every client needs a certificate of one of these authorities.
    pub client_ca: Option<PathBuf>,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// No message contains the URL of a store, which may contain a password.
#[derive(Debug, Error)]
pub enum OptionsError {
    #[error("{from}: {found:?} is not a port; expected a number from 0 to 65535")]
    Port { from: &'static str, found: String },
    #[error("{from}: {found:?} is not HOST:PORT{}; expected for example 127.0.0.1:3000", or_socket(from))]
    Listen { from: &'static str, found: String },
    #[error("{flag} needs {needed}")]
    Needs { flag: &'static str, needed: &'static str },
    #[error("--tls-cert: a Unix socket has no TLS; expected --listen HOST:PORT")]
    TlsOverUnix,
    #[error("--allowed-host: {0:?} is not a host; expected a name, *.SUFFIX or an address, without a port")]
    AllowedHost(String),
    #[error("--log-format: {0:?} is not a format; expected text or json")]
    LogFormat(String),
    #[error(
        "{from}: expected memory, redis://…, rediss://…, redis+sentinel://…, redis+cluster://… or unix://…, and {problem}"
    )]
    Store { from: &'static str, problem: RedisUrlError },
    #[error("RS_REDISHOST: {0:?} is not a host name or an address")]
    RedisHost(String),
    #[error("{from}: {found:?} is not a level; expected none, error, warn, info, debug, trace or dev")]
    Level { from: &'static str, found: String },
    #[error("{from}: {found:?} is not a namespace; expected 1 to 100 visible ASCII characters")]
    Namespace { from: &'static str, found: String },
}

fn or_socket(from: &str) -> &'static str {
    if from == "--listen" { " or unix:PATH" } else { "" }
}

/// Validates the options. `env` returns a variable; as in the original, an empty one counts as not set.
pub fn resolve(cli: Cli, env: impl Fn(&str) -> Option<String>) -> Result<Options, OptionsError> {
    let env = |name: &'static str| env(name).filter(|value| !value.is_empty());
    let listen = listen(cli.listen, env("RS_PORT"))?;
    let tls = tls(cli.tls_cert, cli.tls_key, cli.client_ca)?;
    if tls.is_some() && matches!(listen, Listen::Unix(_)) {
        return Err(OptionsError::TlsOverUnix);
    }
    Ok(Options {
        listen,
        admin_listen: cli.admin_listen.map(|found| HostPort::parse("--admin-listen", found)).transpose()?,
        tls,
        secret_file: cli.secret_file,
        access_file: cli.access_file,
        allowed_hosts: cli.allowed_host.into_iter().map(allowed_host).collect::<Result<_, _>>()?,
        store: store(cli.store, &env)?,
        log_level: log_level(cli.log_level, env("RS_LOGLEVEL"))?,
        log_format: log_format(cli.log_format)?,
        slow_request: Some(Duration::from_millis(cli.slow_request)).filter(|limit| !limit.is_zero()),
        sweep_interval: Some(Duration::from_secs(cli.sweep_interval)).filter(|interval| !interval.is_zero()),
        max_connections: size(cli.max_connections),
        client_timeout: Duration::from_secs(cli.client_timeout),
        drain_delay: Duration::from_secs(cli.drain_delay),
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

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn listen(flag: Option<String>, variable: Option<String>) -> Result<Listen, OptionsError> {
    if let Some(address) = flag {
        return Listen::parse(address);
    }
    let port = variable.map_or(Ok(DEFAULT_PORT), |found| port("RS_PORT", found))?;
    Ok(Listen::Tcp(HostPort::loopback(port)))
}

fn tls(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
) -> Result<Option<TlsFiles>, OptionsError> {
    pair(("--tls-cert", cert.is_some()), ("--tls-key", key.is_some()))?;
    match (cert, key, client_ca) {
        (Some(cert), Some(key), client_ca) => Ok(Some(TlsFiles { cert, key, client_ca })),
        (_, _, Some(_)) => Err(OptionsError::Needs { flag: "--client-ca", needed: "--tls-cert and --tls-key" }),
        _ => Ok(None),
    }
}

/// Two flags that are given together or not at all.
fn pair(
    (one, one_given): (&'static str, bool),
    (other, other_given): (&'static str, bool),
) -> Result<(), OptionsError> {
    match (one_given, other_given) {
        (true, false) => Err(OptionsError::Needs { flag: one, needed: other }),
        (false, true) => Err(OptionsError::Needs { flag: other, needed: one }),
        _ => Ok(()),
    }
}

fn allowed_host(found: String) -> Result<HostPattern, OptionsError> {
    HostPattern::parse(&found).ok_or(OptionsError::AllowedHost(found))
}

fn port(from: &'static str, found: String) -> Result<u16, OptionsError> {
    found.parse().map_err(|_| OptionsError::Port { from, found })
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

fn log_format(flag: Option<String>) -> Result<LogFormat, OptionsError> {
    match flag.as_deref() {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(found) => Err(OptionsError::LogFormat(found.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn resolved(flags: &[&str], variables: &[(&str, &str)]) -> Result<Options, OptionsError> {
        let cli = Cli::parse_from(std::iter::once(&"rest-sessions").chain(flags));
        resolve(cli, |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn store(flags: &[&str], variables: &[(&str, &str)]) -> String {
        match resolved(flags, variables).unwrap().store {
            StoreChoice::Memory { .. } => "memory".to_owned(),
            StoreChoice::Redis(config) => config.url.to_string(),
        }
    }

    #[test]
    fn the_defaults_are_loopback_and_memory() {
        let options = resolved(&[], &[]).unwrap();
        assert_eq!(options.listen.to_string(), "127.0.0.1:3000");
        let memory = StoreChoice::Memory { max_bytes: 256 << 20, max_session_bytes: 261_120 };
        assert_eq!(format!("{:?}", options.store), format!("{memory:?}"));
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
    fn redis_has_a_namespace_and_a_timeout_below_that_of_the_filter() {
        let StoreChoice::Redis(config) = resolved(&["--store", "redis://h"], &[]).unwrap().store else { panic!() };
        assert_eq!((config.namespace.as_str(), config.max_session_bytes), ("rs", 261_120));
        assert_eq!(config.timeout, Duration::from_millis(400));
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

    #[test]
    fn files_that_belong_together_are_refused_alone() {
        for (flags, expected) in [
            (&["--tls-cert", "c"][..], "--tls-cert needs --tls-key"),
            (&["--tls-key", "k", "--client-ca", "a"], "--tls-key needs --tls-cert"),
            (&["--client-ca", "a"], "--client-ca needs --tls-cert and --tls-key"),
            (&["--store-cert", "c"], "--store-cert needs --store-key"),
            (&["--store-key", "k"], "--store-key needs --store-cert"),
        ] {
            assert_eq!(resolved(flags, &[]).unwrap_err().to_string(), expected);
        }
        let tls = resolved(&["--tls-cert", "c", "--tls-key", "k", "--client-ca", "a"], &[]).unwrap().tls.unwrap();
        assert_eq!((tls.cert, tls.key, tls.client_ca), ("c".into(), "k".into(), Some("a".into())));
    }

    #[test]
    fn the_bounds_of_numbers_are_inclusive() {
        for (flag, least, most) in
            [("--drain-delay", 0u32, 300u32), ("--max-session-bytes", 2048, 1_048_576), ("--slow-request", 0, 60_000)]
        {
            let accepts = |n: u32| Cli::try_parse_from(["rest-sessions", flag, &n.to_string()]).is_ok();
            assert!(accepts(least) && accepts(most) && !accepts(most + 1), "{flag}");
            assert!(least.checked_sub(1).is_none_or(|below| !accepts(below)), "{flag}");
        }
        let options = resolved(&["--slow-request", "0"], &[]).unwrap();
        assert_eq!(options.slow_request, None);
    }
}

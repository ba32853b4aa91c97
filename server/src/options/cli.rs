//! The flags, as `--help` shows them.

use std::path::PathBuf;

use clap::{Args, Parser, value_parser};

/// The session service: rest-sessions' HTTP interface over memory or Redis.
///
/// Every client that reaches it can read, change and end every session, unless --secret-file, --access-file or
/// --client-ca says who may. Never expose it to the outside. Listen on loopback, or on a network that only your own
/// services share.
#[derive(Parser)]
#[command(name = "rest-sessions", version, max_term_width = 100)]
pub struct Cli {
    /// Address and port to listen on, where port 0 selects a free port, or unix: and the path of a socket
    /// [default: 127.0.0.1:3000, or the port in RS_PORT]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: Option<String>,

    /// Address and port of /livez, /readyz and /metrics, in plain HTTP and without authorization; /metrics is then not
    /// at the address of --listen
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) admin_listen: Option<String>,

    /// Certificate chain in PEM: listen with TLS. Read again when it changes, as are the other files of this listener
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert, in PEM
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,

    /// Authorities in PEM: every client needs a certificate of one of them
    #[arg(long, value_name = "FILE")]
    pub(super) client_ca: Option<PathBuf>,

    /// One or two secrets, one a line, each of 16 to 256 visible ASCII characters: a request with one of them in
    /// `authorization: Bearer SECRET` may do everything
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,

    /// Callers in TOML, each known by a secret or by the name in its certificate, and limited to apps and verbs
    #[arg(long, value_name = "FILE")]
    pub(super) access_file: Option<PathBuf>,

    /// Further Host of requests: exact, or *.SUFFIX; can be repeated. Always allowed: loopback, the address of --listen,
    /// and rest-sessions
    #[arg(long, value_name = "NAME")]
    pub(super) allowed_host: Vec<String>,

    #[command(flatten)]
    pub(super) store: StoreFlags,

    /// Log level: none, error, warn, info, debug (a line for each request), trace; dev equals debug [default: info]
    /// [env: RS_LOGLEVEL]
    #[arg(long, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,

    /// Form of a log line: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,

    /// Milliseconds after which a request is logged as slow; 0 disables it
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 250, value_parser = value_parser!(u64).range(0..=60_000))]
    pub(super) slow_request: u64,

    /// Seconds between two sweeps of expired sessions; 0 disables sweeping
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = value_parser!(u64).range(0..=86_400))]
    pub(super) sweep_interval: u64,

    /// Connections at the same time, fewer if the limit of open files is low; further ones are answered 503
    #[arg(long, value_name = "COUNT", default_value_t = 4096, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) max_connections: u32,

    /// Seconds for a request to arrive, for an idle connection to stay open, and for a response to be accepted
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = value_parser!(u64).range(1..=3600))]
    pub(super) client_timeout: u64,

    /// Seconds after SIGTERM in which requests are still accepted, while /readyz is 503 and answers close their
    /// connections; SIGINT skips them
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = value_parser!(u64).range(0..=300))]
    pub(super) drain_delay: u64,

    /// Seconds that requests in flight have to finish once no more are accepted
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = value_parser!(u64).range(0..=3600))]
    pub(super) shutdown_timeout: u64,
}

/// The flags of the store.
#[derive(Args)]
pub struct StoreFlags {
    /// Store of the sessions: memory (for development; lost with the process),
    /// redis://[user:password@]host[:port][/database], redis+sentinel://host,host/master[/database],
    /// redis+cluster://host,host or unix:///path; rediss for TLS [default: memory, or the Redis of RS_REDISURL, or of
    /// RS_REDISHOST and RS_REDISPORT]
    #[arg(long, value_name = "STORE")]
    pub(super) store: Option<String>,

    /// Password of Redis, in a file
    #[arg(long, value_name = "FILE")]
    pub(super) store_password_file: Option<PathBuf>,

    /// Authorities in PEM that the certificate of Redis is verified with, instead of those of the system
    #[arg(long, value_name = "FILE")]
    pub(super) store_ca: Option<PathBuf>,

    /// Client certificate for Redis, in PEM
    #[arg(long, value_name = "FILE")]
    pub(super) store_cert: Option<PathBuf>,

    /// Private key of --store-cert, in PEM
    #[arg(long, value_name = "FILE")]
    pub(super) store_key: Option<PathBuf>,

    /// Password of the sentinels, in a file
    #[arg(long, value_name = "FILE")]
    pub(super) sentinel_password_file: Option<PathBuf>,

    /// Prefix of all keys in Redis [default: rs] [env: RS_NAMESPACE]
    #[arg(long, value_name = "NAME")]
    pub(super) namespace: Option<String>,

    /// Milliseconds that Redis has to answer; after that, the request is answered 503. It has to be less than the
    /// caller's own timeout
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 400, value_parser = value_parser!(u64).range(1..=60_000))]
    pub(super) store_timeout: u64,

    /// Bytes of JSON that one session may take, 1024 of them for everything but its data; beyond that, a change is
    /// answered 413
    #[arg(long, value_name = "BYTES", default_value_t = 262_144, value_parser = value_parser!(u32).range(2048..=1_048_576))]
    pub(super) max_session_bytes: u32,

    /// MiB that sessions in memory may take; beyond that, creating one is answered 503
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = value_parser!(u32).range(1..=1_048_576))]
    pub(super) memory_limit: u32,
}

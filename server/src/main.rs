//! The command: reads its options, serves, sweeps expired sessions, and shuts down on SIGTERM or SIGINT.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use rest_sessions::access::{AccessFiles, AllowedHosts, Callers, Guard, guard};
use rest_sessions::api::{Api, Endpoints, Timing, router};
use rest_sessions::clock::Clock;
use rest_sessions::logging;
use rest_sessions::metrics::{MeteredStore, Metrics};
use rest_sessions::options::{Cli, Listen, Options, StoreChoice, resolve};
use rest_sessions::serve::{Address, Capacity, Drain, Limits, Listener, Signals, raise_open_files, serve, tls};
use rest_sessions::store::{MemoryStore, RedisStore, Store, TimeSource};
use rest_sessions::sweep;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            // Help or version. Fails only if the reader has closed the pipe.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            return fail(&format!("{}; see --help", line.trim_start_matches("error: ")));
        }
    };
    let options = match resolve(cli, |name| std::env::var(name).ok()) {
        Ok(options) => options,
        Err(error) => return fail(&error.to_string()),
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => match runtime.block_on(run(options)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => fail(&problem),
        },
        Err(error) => fail(&format!("cannot start: {error}")),
    }
}

/// The problem may quote an argument: a URL with a password in the wrong place is left out.
fn fail(problem: &str) -> ExitCode {
    let is_secret = |word: &str| word.contains("://") && word.contains('@') && !word.contains("[user:");
    let shown = |word| if is_secret(word) { "(a URL)" } else { word };
    let problem = problem.split(' ').map(shown).collect::<Vec<_>>().join(" ");
    eprintln!("rest-sessions: {problem}");
    ExitCode::FAILURE
}

async fn run(options: Options) -> Result<(), String> {
    logging::start(options.log_level, options.log_format);
    // Fails only if a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (store, store_name) = open_store(&options.store);
    let metrics = Metrics::new().map_err(|error| format!("cannot define the metrics: {error}"))?;
    let metrics = Arc::new(metrics);
    let store = MeteredStore::new(store, Arc::clone(&metrics));
    let signals = Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let open_files = raise_open_files();
    let tls = options.tls.clone().map(tls::watch).transpose()?;
    let callers = Callers::watch(access_files(&options))?;
    let listener = Listener::open(&options.listen, tls).await?;
    let address = listener.address().map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    let admin = match &options.admin_listen {
        Some(listen) => Some(Listener::plain(listen).await?),
        None => None,
    };
    let limits = Limits {
        capacity: Capacity::within(open_files, options.max_connections),
        head_timeout: options.client_timeout,
        write_timeout: options.client_timeout,
        shutdown_timeout: options.shutdown_timeout,
    };
    if limits.capacity.connections < options.max_connections {
        tracing::warn!(
            connections = limits.capacity.connections,
            "the limit of open files is too low for --max-connections; fewer connections are served"
        );
    }
    if callers.is_none() && !has_client_ca(&options) && address.is_beyond_loopback() {
        tracing::warn!(
            "every client that reaches this address can read, change and end every session; \
             see --secret-file, --access-file and --client-ca"
        );
    }
    let drain = Drain::default();
    if let Some(listener) = &admin {
        let address = listener.address().map_err(|error| format!("cannot use --admin-listen: {error}"))?;
        tracing::info!(%address, "administration");
    }
    tracing::info!(%address, store = %store_name, "listening");

    if let Some(interval) = options.sweep_interval {
        tokio::spawn(sweep::periodically(store.clone(), interval));
    }
    tokio::spawn(drain.clone().follow(signals, options.drain_delay));
    let timing = Timing { body_timeout: options.client_timeout, slow_request: options.slow_request };
    let api = Arc::new(Api::new(store, Arc::clone(&metrics), drain.clone(), timing));
    let endpoints = if admin.is_some() { Endpoints::Sessions } else { Endpoints::All };
    let guarded = Guard { hosts: allowed_hosts(&options, &address), callers };
    let app = guard(router(Arc::clone(&api), endpoints), guarded, &metrics);
    let admin = async {
        if let Some(listener) = admin {
            let limits = Limits { capacity: Capacity::ADMIN, ..limits };
            serve(listener, router(api, Endpoints::Admin), limits, drain.clone(), Arc::clone(&metrics)).await;
        }
    };
    tokio::join!(serve(listener, app, limits, drain.clone(), Arc::clone(&metrics)), admin);
    tracing::info!("stopped");
    Ok(())
}

fn has_client_ca(options: &Options) -> bool {
    options.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
}

fn access_files(options: &Options) -> AccessFiles {
    AccessFiles {
        secret_file: options.secret_file.clone(),
        access_file: options.access_file.clone(),
        has_client_ca: has_client_ca(options),
    }
}

/// `None` for a Unix socket, which no page in a browser can open.
fn allowed_hosts(options: &Options, address: &Address) -> Option<AllowedHosts> {
    match (&options.listen, address) {
        (Listen::Tcp(listen), Address::Tcp(bound)) => {
            Some(AllowedHosts::new(listen.host(), *bound, &options.allowed_hosts))
        }
        _ => None,
    }
}

/// The store and its name for the log.
fn open_store(choice: &StoreChoice) -> (Store, String) {
    match choice {
        StoreChoice::Memory { max_bytes, max_session_bytes } => {
            let memory = MemoryStore::new(*max_bytes, *max_session_bytes, Clock::system());
            (Store::Memory(Arc::new(memory)), "memory".to_owned())
        }
        StoreChoice::Redis(config) => {
            let name = config.url.to_string();
            (Store::Redis(Arc::new(RedisStore::new(config.as_ref().clone(), TimeSource::Redis))), name)
        }
    }
}

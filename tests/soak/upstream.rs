//! The upstream: checks each request that arrives, and keeps none.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::failures::Failures;
use crate::harness::{runtime, upstream};
use crate::ledger::Ledger;

/// The header in which Envoy tells when a request started, in microseconds since 1970.
pub const START: &str = "x-request-start";
/// What every forged header contains.
pub const FORGED: &str = "forged";

/// Longer than the clients that leave wait at `/slow/…`.
const SLOW: Duration = Duration::from_millis(30);

/// What the upstream knows.
struct Knowledge {
    ledger: Arc<Ledger>,
    failures: Arc<Failures>,
    arrived: AtomicU64,
}

/// A running upstream. Dropping it stops it.
pub struct Upstream {
    address: SocketAddr,
    knowledge: Arc<Knowledge>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    pub fn start(ledger: Arc<Ledger>, failures: Arc<Failures>) -> Self {
        let listener = runtime::wait_for("a port for the upstream", TcpListener::bind("127.0.0.1:0"))
            .expect("the upstream can listen on loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let knowledge = Arc::new(Knowledge { ledger, failures, arrived: AtomicU64::new(0) });
        let accepting = runtime::spawn(accept(listener, Arc::clone(&knowledge)));
        Self { address, knowledge, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have arrived.
    pub fn arrived(&self) -> u64 {
        self.knowledge.arrived.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, knowledge: Arc<Knowledge>) {
    while let Ok((stream, _)) = listener.accept().await {
        let knowledge = Arc::clone(&knowledge);
        runtime::spawn(async move {
            let service = service_fn(move |request| respond(request, Arc::clone(&knowledge)));
            let server = hyper::server::conn::http1::Builder::new();
            // Envoy closes the connection of a request whose client leaves.
            let _closed = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

async fn respond(
    mut request: Request<Incoming>,
    knowledge: Arc<Knowledge>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    knowledge.arrived.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    if let Err(problem) = check(&parts, request.headers(), &knowledge.ledger) {
        knowledge.failures.report(&format!("the request {path} {problem}; it had {:?}", request.headers()));
    }
    let mut response = Response::builder();
    match parts[..] {
        ["set", _, number] => response = response.header("x-session-set", format!(r#"{{"n":{number}}}"#)),
        ["end", _] => response = response.header("x-session-kill", "1"),
        ["slow", _] => tokio::time::sleep(SLOW).await,
        _ => {}
    }
    if request.headers().contains_key(UPGRADE) {
        let upgrade = hyper::upgrade::on(&mut request);
        runtime::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                upstream::echo(TokioIo::new(upgraded)).await;
            }
        });
        response =
            response.status(StatusCode::SWITCHING_PROTOCOLS).header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
        return Ok(response.body(Full::default()).expect("these headers are valid"));
    }
    Ok(response.body(Full::from("from the upstream\n")).expect("these headers are valid"))
}

/// Checks a request that has passed the filter.
fn check(path: &[&str], headers: &HeaderMap, ledger: &Ledger) -> Result<(), String> {
    if let Some((name, _)) = headers.iter().find(|(_, value)| contains(value.as_bytes(), FORGED)) {
        return Err(format!("arrives with its forged header {name}"));
    }
    let user = only(headers, "x-session-user")?;
    let data = only(headers, "x-session-data")?;
    let known = usize::from(user.is_some()) + usize::from(data.is_some());
    let named = headers.keys().filter(|name| name.as_str().contains("session")).count();
    if named != known {
        return Err("arrives with a session header that is not the filter's".to_owned());
    }
    let expected: Vec<usize> = match path {
        ["member" | "ws" | "set" | "end" | "slow", session] | ["set", session, _] => vec![numbered(session)?],
        ["conflict", first, second] => vec![numbered(first)?, numbered(second)?],
        ["open" | "off", ..] => {
            return user.map_or(Ok(()), |user| Err(format!("has no session, and arrives with that of {user}")));
        }
        _ => return Err("never passes, and has arrived".to_owned()),
    };
    let user = user.ok_or("arrives without a user")?;
    let number = user.strip_prefix('s').map_or_else(|| Err("arrives with a strange user".to_owned()), numbered)?;
    if !expected.contains(&number) {
        return Err(format!("arrives with the session of {user}"));
    }
    // Of two sessions one may serve, once the other has ended.
    let find =
        |number| ledger.session(number).ok_or_else(|| format!("arrives with s{number}, which was never created"));
    for other in expected.into_iter().filter(|other| *other != number) {
        if !find(other)?.is_ending() {
            return Err(format!("arrives with {user} although s{other} lives too"));
        }
    }
    let start = only(headers, START)?.and_then(|start| start.parse().ok()).ok_or("arrives without its start")?;
    let written = data.and_then(|data| data.strip_prefix(r#"{"n":"#)?.strip_suffix('}')?.parse().ok());
    find(number)?.pass(start, written.unwrap_or(0))
}

/// The value of a header that may occur once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(format!("arrives with {name} twice"));
    }
    value.map(|value| value.to_str().map_err(|_| format!("arrives with a {name} that is not ASCII"))).transpose()
}

fn numbered(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("has no session number, but {text:?}"))
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

//! The load: connections that each send their next request as soon as they have their answer.
//!
//! The usual load generators send the same Cookie header on all connections. Here that would measure something else:
//! requests for one session share one lookup. So each connection has a session of its own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, HOST, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::timeout;

type Connection = SendRequest<Empty<Bytes>>;

#[derive(clap::Args)]
pub struct Options {
    /// Where to send the requests.
    #[arg(long, value_name = "ADDRESS:PORT")]
    target: SocketAddr,
    #[arg(long, default_value = "/")]
    path: String,
    /// A file with one Cookie header a line; the connections take them in turn. Absent: no cookies.
    #[arg(long, value_name = "FILE")]
    cookies: Option<PathBuf>,
    /// The requests take the cookies in turn, not the connections.
    #[arg(long, requires = "cookies")]
    rotate: bool,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// How many requests, on all connections together.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    requests: u32,
    /// Give up after so long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// What is printed, as one line of JSON.
#[derive(Serialize)]
struct Report {
    requests: usize,
    seconds: f64,
    p50_us: u32,
    p99_us: u32,
    statuses: BTreeMap<u16, u32>,
}

/// What all connections share: how many requests are still to be sent, and what came back.
struct Seen {
    left: Cell<u32>,
    /// The cookie headers that the requests take in turn; empty where each connection keeps its own.
    rotating: Vec<HeaderValue>,
    latencies_us: RefCell<Vec<u32>>,
    statuses: RefCell<BTreeMap<u16, u32>>,
}

pub async fn run(options: Options) -> Result<(), String> {
    let limit = Duration::from_secs(options.seconds);
    let tasks = LocalSet::new();
    let report = timeout(limit, tasks.run_until(measure(options))).await;
    let report = report.map_err(|_| format!("not done after {} s", limit.as_secs()))??;
    println!("{}", serde_json::to_string(&report).map_err(|e| format!("cannot write the report: {e}"))?);
    Ok(())
}

async fn measure(options: Options) -> Result<Report, String> {
    let cookies = match &options.cookies {
        None => Vec::new(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
            text.lines().map(str::to_owned).collect()
        }
    };
    let rotating = if options.rotate {
        cookies.iter().map(|cookie| HeaderValue::from_str(cookie)).collect()
    } else {
        Ok(Vec::new())
    };
    let seen = Rc::new(Seen {
        left: Cell::new(options.requests),
        rotating: rotating.map_err(|e| format!("a cookie cannot be sent: {e}"))?,
        latencies_us: RefCell::new(Vec::with_capacity(options.requests as usize)),
        statuses: RefCell::new(BTreeMap::new()),
    });

    let mut ready = Vec::new();
    for _ in 0..options.connections {
        ready.push(connect(options.target).await?);
    }
    let start = Instant::now();
    let mut running = Vec::new();
    for (index, connection) in ready.into_iter().enumerate() {
        let cookie = if cookies.is_empty() { None } else { cookies.get(index % cookies.len()).cloned() };
        let request = request(&options, cookie)?;
        running.push(tokio::task::spawn_local(exchange(connection, request, Rc::clone(&seen))));
    }
    for one in running {
        one.await.map_err(|e| format!("a connection's task failed: {e}"))??;
    }
    let seconds = start.elapsed().as_secs_f64();

    let mut latencies = seen.latencies_us.take();
    latencies.sort_unstable();
    let rank = |percent: usize| latencies.get(latencies.len().saturating_sub(1) * percent / 100).copied();
    Ok(Report {
        requests: latencies.len(),
        seconds,
        p50_us: rank(50).unwrap_or_default(),
        p99_us: rank(99).unwrap_or_default(),
        statuses: seen.statuses.take(),
    })
}

async fn connect(target: SocketAddr) -> Result<Connection, String> {
    let stream = TcpStream::connect(target).await.map_err(|e| format!("cannot connect to {target}: {e}"))?;
    stream.set_nodelay(true).map_err(|e| format!("cannot set TCP_NODELAY: {e}"))?;
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|e| format!("cannot begin HTTP with {target}: {e}"))?;
    // How it ended is seen by whoever sends on it.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

/// A request as a browser sends it.
fn request(options: &Options, cookie: Option<String>) -> Result<Request<Empty<Bytes>>, String> {
    let mut request = Request::get(&options.path)
        .header(HOST, "shop.example.com")
        .header(USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
        .header(ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header(ACCEPT_LANGUAGE, "en-US,en;q=0.5")
        .header(ACCEPT_ENCODING, "gzip, deflate, br")
        .header("sec-fetch-mode", "navigate")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    request.body(Empty::new()).map_err(|e| format!("the request cannot be sent: {e}"))
}

async fn exchange(
    mut connection: Connection,
    mut request: Request<Empty<Bytes>>,
    seen: Rc<Seen>,
) -> Result<(), String> {
    while let Some(left) = seen.left.get().checked_sub(1) {
        seen.left.set(left);
        if let Some(cookie) = (left as usize).checked_rem(seen.rotating.len()).and_then(|turn| seen.rotating.get(turn))
        {
            request.headers_mut().insert(COOKIE, cookie.clone());
        }
        let start = Instant::now();
        connection.ready().await.map_err(|e| format!("a connection was closed: {e}"))?;
        let response = connection.send_request(request.clone()).await.map_err(|e| format!("no answer: {e}"))?;
        let status = response.status().as_u16();
        response.into_body().collect().await.map_err(|e| format!("half an answer: {e}"))?;
        let took = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
        seen.latencies_us.borrow_mut().push(took);
        *seen.statuses.borrow_mut().entry(status).or_default() += 1;
    }
    Ok(())
}

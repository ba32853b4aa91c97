//! A small upstream that answers every request with the request itself, so that one sees in curl what the filter let
//! through, added and took away.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, Uri, Version};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Answers every request with its method, path and headers, as text.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve(Options::parse().listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("echo: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: SocketAddr) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| format!("cannot wait for SIGTERM: {e}"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| format!("cannot wait for SIGINT: {e}"))?;
    let listener = TcpListener::bind(listen).await.map_err(|e| format!("cannot listen on {listen}: {e}"))?;
    let address = listener.local_addr().map_err(|e| format!("cannot read the address listened on: {e}"))?;
    println!("echo listens on {address}");

    let asked_to_end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    axum::serve(listener, Router::new().fallback(show))
        .with_graceful_shutdown(asked_to_end)
        .await
        .map_err(|e| format!("cannot serve any longer: {e}"))
}

async fn show(request: Request) -> String {
    describe(request.method(), request.uri(), request.version(), request.headers())
}

/// The request line and the headers, sorted by name; values of one name stay in their order. Bytes that are not
/// UTF-8 are shown as U+FFFD, since this is for reading.
fn describe(method: &Method, uri: &Uri, version: Version, headers: &HeaderMap) -> String {
    let mut headers: Vec<_> = headers.iter().collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    let mut text = format!("{method} {uri} {version:?}\n");
    for (name, value) in headers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn headers_are_sorted_by_name_and_repeated_ones_keep_their_order() {
        let mut headers = HeaderMap::new();
        headers.append("x-b", HeaderValue::from_static("2"));
        headers.append("cookie", HeaderValue::from_static("late=1"));
        headers.append("x-b", HeaderValue::from_static("1"));
        let shown = describe(&Method::GET, &Uri::from_static("/a?b=c"), Version::HTTP_11, &headers);
        assert_eq!(shown, "GET /a?b=c HTTP/1.1\ncookie: late=1\nx-b: 2\nx-b: 1\n");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_shown_and_do_not_fail() {
        let mut headers = HeaderMap::new();
        headers.append("x", HeaderValue::from_bytes(b"a\xff\xfeb").expect("HTTP allows these bytes"));
        let shown = describe(&Method::POST, &Uri::from_static("/"), Version::HTTP_2, &headers);
        assert_eq!(shown, "POST / HTTP/2.0\nx: a\u{fffd}\u{fffd}b\n");
    }
}

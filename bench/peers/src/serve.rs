//! An HTTP/1 server on hyper alone, so that it does not limit the benchmark.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Binds, and writes the address to stdout, because port 0 selects a free one.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await.map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let address = listener.local_addr().map_err(|e| format!("cannot read the address listened on: {e}"))?;
    println!("listens on {address}");
    Ok(listener)
}

/// Serves until the process is killed.
pub async fn answer<A, F>(listener: TcpListener, answer: A) -> Result<(), String>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send,
{
    loop {
        let (stream, _) = listener.accept().await.map_err(|e| format!("cannot accept a connection: {e}"))?;
        stream.set_nodelay(true).map_err(|e| format!("cannot set TCP_NODELAY: {e}"))?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            // Envoy resets connections at the end of a run.
            let _reset = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

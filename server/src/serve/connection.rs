//! One connection: its handshake, its requests, its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::tls::TlsConfigs;
use super::{Accepted, App, Drain, Limits};
use crate::access::ClientCertificate;

/// Bytes of a request line and its headers.
const MAX_HEAD: usize = 64 * 1024;

/// For the first request of a connection that was accepted just before the service stops.
const LAST_HEAD_TIME: Duration = Duration::from_millis(250);

/// A connection, apart from its stream.
struct Context<A> {
    app: A,
    limits: Limits,
    drain: Drain,
    /// Set with TLS alone. Its configuration is the one of the handshake, unless it has changed.
    tls: Option<TlsConfigs>,
    client: Option<ClientCertificate>,
}

/// Serves one connection until it ends, or until the service stops.
pub async fn serve(accepted: Accepted, app: impl App, limits: Limits, drain: Drain) {
    let context = Context { app, limits, drain, tls: None, client: None };
    match accepted {
        Accepted::Tcp(stream) => {
            send_at_once(&stream);
            context.serve_http(stream).await;
        }
        Accepted::Unix(stream) => context.serve_http(stream).await,
        Accepted::Tls(stream, mut configs) => {
            send_at_once(&stream);
            let acceptor = TlsAcceptor::from(configs.borrow_and_update().clone());
            let shaken = tokio::select! {
                shaken = handshake(stream, &acceptor, limits.head_timeout) => shaken,
                () = context.drain.stopping() => None,
            };
            if let Some(stream) = shaken {
                let client = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let client = client.map(ClientCertificate::from_verified);
                Context { tls: Some(configs), client, ..context }.serve_http(stream).await;
            }
        }
    }
}

fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "TCP_NODELAY is not set; small responses may be delayed");
    }
}

async fn handshake(stream: TcpStream, acceptor: &TlsAcceptor, timeout: Duration) -> Option<TlsStream<TcpStream>> {
    match tokio::time::timeout(timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}

impl<A: App> Context<A> {
    /// Whether a client should go on over a new connection: the process ends, or the authorities that its certificate
    /// was verified with have changed.
    fn is_closing(&self) -> bool {
        self.drain.is_draining() || self.tls.as_ref().is_some_and(|configs| configs.has_changed().unwrap_or(false))
    }

    async fn serve_http(self, stream: impl AsyncRead + AsyncWrite) {
        let has_request = AtomicBool::new(false);
        let service = service_fn(|mut request: Request<Incoming>| {
            has_request.store(true, Ordering::Relaxed);
            if let Some(client) = &self.client {
                request.extensions_mut().insert(client.clone());
            }
            let answer = self.app.clone().oneshot(request.map(Body::new));
            let context = &self;
            async move {
                let mut answer = answer.await?;
                if context.is_closing() {
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.write_timeout));
        let connection = http1::Builder::new()
            // A client that closes its sending side still gets its response, and a killall does not stop halfway.
            .half_close(true)
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let mut connection = pin!(connection);
        let last_head = async {
            self.drain.stopping().await;
            if !has_request.load(Ordering::Relaxed) {
                tokio::time::sleep(LAST_HEAD_TIME).await;
            }
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = last_head => {
                // Closes a connection that is between two requests, and another one after its response.
                connection.as_mut().graceful_shutdown();
                if has_request.load(Ordering::Relaxed) { connection.await } else { Ok(()) }
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "a connection ended early");
        }
    }
}

//! A stub of rest-sessions that answers lookups without a store: the token encodes the size of the session.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::time::sleep;

use crate::serve;

pub async fn serve(listen: SocketAddr, delay: Duration) -> Result<(), String> {
    let listener = serve::listen(listen).await?;
    serve::answer(listener, move |request| {
        let response = lookup(request.uri().path());
        async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            response
        }
    })
    .await
}

fn lookup(path: &str) -> Response<Full<Bytes>> {
    let Some((_, token)) = path.split_once("/get/") else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let body = data_bytes(token).map_or_else(|| "{}".to_owned(), session);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// The size of `d` that the token encodes; `None` if it encodes none.
fn data_bytes(token: &str) -> Option<usize> {
    token.get(..5)?.parse().ok()
}

/// A session whose `d` has this many bytes of JSON.
fn session(bytes: usize) -> String {
    const EMPTY: &str = r#"{"name":""}"#;
    let name = "n".repeat(bytes.saturating_sub(EMPTY.len()));
    format!(r#"{{"id":"user123","r":1,"w":1,"ttl":86400,"idle":3,"ip":"192.168.99.22","d":{{"name":"{name}"}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_the_size_that_the_token_encodes() {
        for bytes in [11, 100, 5120] {
            let session: serde_json::Value = serde_json::from_str(&session(bytes)).expect("is JSON");
            assert_eq!(session["d"].to_string().len(), bytes);
        }
    }

    #[test]
    fn a_token_without_a_length_is_unknown() {
        assert_eq!(data_bytes("00100xyz"), Some(100));
        assert_eq!(data_bytes("x0100"), None);
        assert_eq!(data_bytes("001"), None);
    }
}

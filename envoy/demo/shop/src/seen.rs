//! `/seen/…` answers with the request as it arrived, so that curl shows what the filter forwarded, added and removed.

use std::fmt::Write as _;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, Uri, Version};

pub async fn show(request: Request) -> String {
    describe(request.method(), request.uri(), request.version(), request.headers())
}

/// The request line and the headers, sorted by name; values of one name keep their order. Bytes that are not UTF-8
/// become U+FFFD.
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

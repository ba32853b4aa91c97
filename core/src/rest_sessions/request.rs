//! The requests to rest-sessions: `get`, `kill` and `set`.

use std::rc::Rc;

use super::backend::{Service, SessionKey};
use crate::http::headers::Headers;
use crate::session::heap;
use crate::session::token::Token;

/// A request for the host to dispatch. Its path holds the token, so it has no `Debug`.
pub struct CallRequest {
    /// Envoy's name of the cluster that is called.
    pub cluster: Rc<str>,
    /// Pseudo-headers and headers, with names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// A JSON object. `None`: the request has no body.
    pub body: Option<String>,
}

impl CallRequest {
    /// The value of a header; empty if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
    }

    /// `GET` for a lookup, `DELETE` for a kill, `POST` for a change.
    #[must_use]
    pub fn method(&self) -> &str {
        self.header(":method")
    }

    /// The memory of the request, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let body = self.body.as_ref().map_or(0, |body| heap::of_box(body.capacity()));
        heap::of_rc(size_of::<Self>()).saturating_add(bytes_of(&self.headers)).saturating_add(body)
    }

    /// The token in the path: its last segment, without the query.
    #[must_use]
    pub fn token(&self) -> &str {
        let segment = self.header(":path").rsplit('/').next().unwrap_or_default();
        segment.split_once('?').map_or(segment, |(token, _)| token)
    }
}

/// The trace headers that are copied from the client's request, each with its maximum length in bytes. Clients choose
/// their values, and servers refuse requests with oversized headers.
const TRACE_HEADERS: [(&str, usize); 9] = [
    ("x-request-id", 128),
    ("traceparent", 64),
    ("tracestate", 512),
    ("b3", 128),
    ("x-b3-traceid", 64),
    ("x-b3-spanid", 64),
    ("x-b3-parentspanid", 64),
    ("x-b3-sampled", 64),
    ("x-b3-flags", 64),
];

/// How a lookup treats the time for which its session was idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleQuery {
    /// `max_idle`: the service ends the session, in the same step, if it was idle for more seconds. `None`: it is not
    /// asked to.
    pub max_idle_s: Option<u64>,
    /// The lookup resets the idle time that it is to find, so it may not reach the service twice.
    pub only_once: bool,
}

/// The trace headers of a request, as calls made for it copy them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(Vec<(&'static str, String)>);

impl Trace {
    /// The trace headers that are single, visible ASCII and short. One pass over the request's headers, since requests that
    /// wait for nothing need them too.
    #[must_use]
    pub fn of(request: &Headers) -> Self {
        let mut found = [Occurrence::Absent; TRACE_HEADERS.len()];
        for (name, value) in request.iter().filter(|(name, _)| matches!(name.first(), Some(b'x' | b't' | b'b'))) {
            for (occurrence, (traced, _)) in found.iter_mut().zip(TRACE_HEADERS) {
                if name == traced.as_bytes() {
                    *occurrence = occurrence.and(value);
                }
            }
        }
        let mut headers = Vec::new();
        for (occurrence, (name, max_length)) in found.into_iter().zip(TRACE_HEADERS) {
            if let Occurrence::Single(value) = occurrence
                && (1..=max_length).contains(&value.len())
                && value.iter().all(u8::is_ascii_graphic)
                && let Ok(value) = std::str::from_utf8(value)
            {
                headers.push((name, value.to_owned()));
            }
        }
        Self(headers)
    }

    /// The heap that it takes, in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        bytes_of(&self.0)
    }
}

/// How often a request has a header.
#[derive(Clone, Copy)]
enum Occurrence<'a> {
    Absent,
    Single(&'a [u8]),
    Repeated,
}

impl<'a> Occurrence<'a> {
    fn and(self, value: &'a [u8]) -> Self {
        match self {
            Self::Absent => Self::Single(value),
            Self::Single(_) | Self::Repeated => Self::Repeated,
        }
    }
}

/// The heap of a list of headers, in bytes.
fn bytes_of(headers: &Vec<(&'static str, String)>) -> usize {
    let list = heap::of_box(headers.capacity().saturating_mul(size_of::<(&str, String)>()));
    headers.iter().fold(list, |sum, (_, value)| sum.saturating_add(heap::of_box(value.capacity())))
}

/// `GET /{app}/get/{token}`: looks a session up.
#[must_use]
pub fn lookup(service: &Service, app: &str, key: &SessionKey, idle: IdleQuery, trace: Trace) -> CallRequest {
    let mut call = call(service, ("GET", "get"), app, &key.token, trace);
    if let Some((_, path)) = call.headers.iter_mut().find(|(name, _)| *name == ":path") {
        if let Some(max_idle_s) = idle.max_idle_s {
            path.push_str("?max_idle=");
            path.push_str(&max_idle_s.to_string());
        }
        if !key.touches {
            path.push_str(if idle.max_idle_s.is_some() { "&touch=0" } else { "?touch=0" });
        }
    }
    if service.retries > 0 {
        // Envoy's router retries after a refused or reset connection ("x-envoy-retry-on" in the router filter's
        // documentation). A response is never retried, whatever its status. After a reset, the service may have served
        // the lookup.
        let retry_on =
            if idle.only_once { "connect-failure,refused-stream" } else { "connect-failure,refused-stream,reset" };
        call.headers.push(("x-envoy-retry-on", retry_on.to_owned()));
        call.headers.push(("x-envoy-max-retries", service.retries.to_string()));
    }
    call
}

/// `DELETE /{app}/kill/{token}`: ends a session.
#[must_use]
pub fn kill(service: &Service, app: &str, token: &Token, trace: Trace) -> CallRequest {
    call(service, ("DELETE", "kill"), app, token, trace)
}

/// `POST /{app}/set/{token}`: changes a session. `body` is a JSON object of keys and new values, `null` to remove a key.
#[must_use]
pub fn set(service: &Service, app: &str, token: &Token, body: String, trace: Trace) -> CallRequest {
    let mut call = call(service, ("POST", "set"), app, token, trace);
    // rest-sessions reads a body of another type as empty.
    call.headers.push(("content-type", "application/json".to_owned()));
    call.headers.push(("content-length", body.len().to_string()));
    call.body = Some(body);
    call
}

/// A request for a session, with the trace headers of the client's request.
fn call(service: &Service, (method, verb): (&str, &str), app: &str, token: &Token, trace: Trace) -> CallRequest {
    let mut headers = vec![
        (":method", method.to_owned()),
        (":path", format!("{}/{app}/{verb}/{}", service.path_prefix, token.reveal())),
        (":authority", service.authority.clone()),
        ("accept", "application/json".to_owned()),
    ];
    headers.extend(trace.0);
    CallRequest { cluster: Rc::clone(&service.cluster), headers, body: None }
}

#[cfg(test)]
mod tests {
    use super::super::backend::NamespaceId;
    use super::*;
    use crate::session::token::tests::{NOW_MS, token_made_at};

    fn service() -> Service {
        Service {
            cluster: "outbound|3000||rs".into(),
            authority: "rs".into(),
            path_prefix: "/at/rs".into(),
            timeout_ms: 500,
            retries: 1,
            max_in_flight: 256,
            breaker: None,
        }
    }

    fn headers_of(service: &Service, request: &[(&str, &[u8])]) -> Vec<(&'static str, String)> {
        lookup(service, "myapp", &key(true), IdleQuery::default(), Trace::of(&Headers::from_pairs(request))).headers
    }

    fn key(touches: bool) -> SessionKey {
        let token = Token::parse(token_made_at(NOW_MS).as_bytes(), &|| NOW_MS).unwrap();
        SessionKey { namespace: NamespaceId(0), token, touches }
    }

    #[test]
    fn a_lookup_under_an_idle_limit_names_it_and_is_not_retried_after_a_reset_if_it_counts_as_a_use() {
        let call = |idle| lookup(&service(), "myapp", &key(true), idle, Trace::default());
        let asked = call(IdleQuery { max_idle_s: Some(1_800), only_once: true });
        assert_eq!(asked.header(":path"), format!("/at/rs/myapp/get/{}?max_idle=1800", token_made_at(NOW_MS)));
        assert_eq!(asked.token(), token_made_at(NOW_MS));
        assert_eq!(asked.header("x-envoy-retry-on"), "connect-failure,refused-stream");
        assert_eq!(asked.header("x-envoy-max-retries"), "1");
        let unlimited = call(IdleQuery { max_idle_s: None, only_once: false });
        assert!(!unlimited.header(":path").contains('?'));
        assert!(unlimited.header("x-envoy-retry-on").ends_with(",reset"));
    }

    #[test]
    fn a_lookup_that_is_no_use_says_so() {
        let path = |max_idle_s| {
            let idle = IdleQuery { max_idle_s, only_once: false };
            lookup(&service(), "myapp", &key(false), idle, Trace::default()).header(":path").to_owned()
        };
        let get = format!("/at/rs/myapp/get/{}", token_made_at(NOW_MS));
        assert_eq!(path(None), format!("{get}?touch=0"));
        assert_eq!(path(Some(60)), format!("{get}?max_idle=60&touch=0"));
    }

    #[test]
    fn a_lookup_is_a_get_of_the_token_under_the_app() {
        assert_eq!(
            headers_of(&service(), &[("cookie", b"a=b"), ("authorization", b"Bearer x"), ("x-other", b"y")]),
            [
                (":method", "GET".to_owned()),
                (":path", format!("/at/rs/myapp/get/{}", token_made_at(NOW_MS))),
                (":authority", "rs".to_owned()),
                ("accept", "application/json".to_owned()),
                ("x-envoy-retry-on", "connect-failure,refused-stream,reset".to_owned()),
                ("x-envoy-max-retries", "1".to_owned()),
            ]
        );
    }

    #[test]
    fn a_kill_is_a_delete_without_retries() {
        let token = Token::parse(token_made_at(NOW_MS).as_bytes(), &|| NOW_MS).unwrap();
        let request = Headers::from_pairs(&[("x-request-id", "abc"), ("cookie", "a=b")]);
        assert_eq!(
            kill(&service(), "myapp", &token, Trace::of(&request)).headers,
            [
                (":method", "DELETE".to_owned()),
                (":path", format!("/at/rs/myapp/kill/{}", token_made_at(NOW_MS))),
                (":authority", "rs".to_owned()),
                ("accept", "application/json".to_owned()),
                ("x-request-id", "abc".to_owned()),
            ]
        );
    }

    #[test]
    fn a_change_is_a_post_of_json_without_retries() {
        let token = Token::parse(token_made_at(NOW_MS).as_bytes(), &|| NOW_MS).unwrap();
        let call = set(&service(), "myapp", &token, "{\"a\":\"\u{fc}\"}".to_owned(), Trace::default());
        assert_eq!(
            call.headers,
            [
                (":method", "POST".to_owned()),
                (":path", format!("/at/rs/myapp/set/{}", token_made_at(NOW_MS))),
                (":authority", "rs".to_owned()),
                ("accept", "application/json".to_owned()),
                ("content-type", "application/json".to_owned()),
                ("content-length", "10".to_owned()),
            ]
        );
        assert_eq!(call.body.as_deref(), Some("{\"a\":\"\u{fc}\"}"));
    }

    #[test]
    fn without_retries_there_are_no_retry_headers() {
        let headers = headers_of(&Service { retries: 0, ..service() }, &[]);
        assert!(headers.iter().all(|(name, _)| !name.starts_with("x-envoy")), "{headers:?}");
    }

    #[test]
    fn trace_headers_are_copied_if_single_visible_and_short() {
        for (name, max_length) in TRACE_HEADERS {
            let full = vec![b'a'; max_length];
            let copied = headers_of(&service(), &[(name, &full)]);
            assert!(copied.contains(&(name, "a".repeat(max_length))), "{name}");
            for wrong in [&vec![b'a'; max_length + 1][..], b"", b"a b", b"a\r\nx: y", b"a\0", b"\xff", "ä".as_bytes()]
            {
                let headers = headers_of(&service(), &[(name, wrong)]);
                assert!(headers.iter().all(|(copied, _)| *copied != name), "{name}: {wrong:?}");
            }
            let twice = headers_of(&service(), &[(name, b"a"), (name, b"a")]);
            assert!(twice.iter().all(|(copied, _)| *copied != name), "{name} twice");
        }
    }
}

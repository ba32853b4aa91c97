//! Local replies: the responses that the filter sends in place of the upstream's.

/// Why a request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// 401: the rule requires a session, and there is none.
    SessionRequired,
    /// 403: a requirement of the rule fails.
    Forbidden,
    /// 403: the rule does not list the request's origin.
    BadOrigin,
    /// 403: a browser loads the logout before the user asks for it. It discards the reply, since the status is an error
    /// (Speculative Loading, "create navigation params from a prefetch record").
    Prefetch,
    /// 400: servers could read the path in different ways that matter to the rules.
    AmbiguousPath,
    /// 400: the authority is malformed.
    BadHost,
    /// 400: the method is malformed, or the query names another one that matters to the rules.
    BadMethod,
    /// 421: the host is not one of `hosts`.
    UnknownHost,
    /// 503: the session is unknown.
    Unavailable {
        /// Whether the reply has `retry-after`: after an outage, but not after a bad response.
        retry: bool,
    },
    /// 503: too many calls are in flight.
    Busy,
    /// 500: the annotation exceeds `annotate.max_bytes`.
    SessionTooLarge,
}

impl Denial {
    /// The HTTP status code.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::SessionRequired => 401,
            Self::Forbidden | Self::BadOrigin | Self::Prefetch => 403,
            Self::AmbiguousPath | Self::BadHost | Self::BadMethod => 400,
            Self::UnknownHost => 421,
            Self::Unavailable { .. } | Self::Busy => 503,
            Self::SessionTooLarge => 500,
        }
    }

    fn body(self) -> &'static str {
        match self {
            Self::SessionRequired => r#"{"error":"session_required","message":"This needs a session. Log in first."}"#,
            Self::Forbidden => r#"{"error":"forbidden","message":"This session may not do this."}"#,
            Self::BadOrigin => r#"{"error":"bad_origin","message":"Pages of this origin may not do this."}"#,
            Self::Prefetch => r#"{"error":"prefetch","message":"A prefetch may not do this."}"#,
            Self::AmbiguousPath => {
                r#"{"error":"ambiguous_path","message":"The path can be read in more than one way."}"#
            }
            Self::BadHost => r#"{"error":"bad_host","message":"The host is neither a DNS name nor an IP address."}"#,
            Self::BadMethod => r#"{"error":"bad_method","message":"The method can be read in more than one way."}"#,
            Self::UnknownHost => r#"{"error":"unknown_host","message":"This host is not served here."}"#,
            Self::Unavailable { .. } => {
                r#"{"error":"sessions_unavailable","message":"Sessions cannot be checked at the moment."}"#
            }
            Self::Busy => r#"{"error":"sessions_busy","message":"Too many sessions are being checked at the moment."}"#,
            Self::SessionTooLarge => {
                r#"{"error":"session_too_large","message":"The session holds more than a request can carry."}"#
            }
        }
    }

    /// The gRPC status (<https://grpc.io/docs/guides/status-codes/>): 16 is UNAUTHENTICATED, 7 PERMISSION_DENIED, 14
    /// UNAVAILABLE. `None` leaves it to Envoy's mapping from the HTTP status.
    fn grpc_status(self) -> Option<u32> {
        match self.status() {
            401 => Some(16),
            403 => Some(7),
            503 => Some(14),
            _ => None,
        }
    }
}

/// A response that the filter sends in place of the upstream's, Envoy's "local reply".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The HTTP status code.
    pub status: u16,
    /// Names (lower case) and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or empty.
    pub body: &'static str,
    /// For gRPC requests only. `None`: Envoy maps the HTTP status.
    pub grpc_status: Option<u32>,
}

impl LocalReply {
    /// The reply for a denial. `app` is the realm of `www-authenticate` (RFC 9110, section 11.6.1). `origin` is the web
    /// origin whose scripts may read the reply. `None`: no scripts may read it.
    #[must_use]
    pub fn new(denial: Denial, app: &str, origin: Option<&str>) -> Self {
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
        match denial {
            Denial::SessionRequired => headers.push(("www-authenticate", format!("Session realm=\"{app}\""))),
            Denial::Unavailable { retry: true } | Denial::Busy => headers.push(("retry-after", "1".to_owned())),
            _ => {}
        }
        share(origin, &mut headers);
        Self { status: denial.status(), headers, body: denial.body(), grpc_status: denial.grpc_status() }
    }

    /// A 302 to the login page at `location` (RFC 9110, section 15.4.3). `origin` is as in [`Self::new`].
    #[must_use]
    pub fn login(location: String, origin: Option<&str>) -> Self {
        let mut headers = vec![
            ("location", location),
            ("cache-control", "no-store".to_owned()),
            // Requests that are no navigation get 401 at the same URL.
            ("vary", "accept, sec-fetch-mode".to_owned()),
        ];
        share(origin, &mut headers);
        Self { status: 302, headers, body: "", grpc_status: None }
    }

    /// A 204 that allows the request of a preflight (Fetch Standard, "CORS-preflight fetch"): its method, and headers of
    /// these names. `origin` is as in [`Self::new`].
    #[must_use]
    pub fn preflight(method: &str, names: Option<&str>, origin: Option<&str>) -> Self {
        let mut headers =
            vec![("cache-control", "no-store".to_owned()), ("access-control-allow-methods", method.to_owned())];
        headers.extend(names.map(|names| ("access-control-allow-headers", names.to_owned())));
        share(origin, &mut headers);
        Self { status: 204, headers, body: "", grpc_status: None }
    }

    /// The reply to a logout: 303 to `redirect` (RFC 9110, section 15.4.4), or 204 without one. `cookies` are values of
    /// `set-cookie`. `origin` is as in [`Self::new`].
    #[must_use]
    pub fn logged_out(redirect: Option<&str>, cookies: Vec<String>, origin: Option<&str>) -> Self {
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        headers.extend(redirect.map(|location| ("location", location.to_owned())));
        headers.extend(cookies.into_iter().map(|cookie| ("set-cookie", cookie)));
        share(origin, &mut headers);
        Self { status: if redirect.is_some() { 303 } else { 204 }, headers, body: "", grpc_status: None }
    }
}

/// Lets scripts of a web origin read the reply (Fetch Standard, "CORS protocol").
fn share(origin: Option<&str>, headers: &mut Vec<(&'static str, String)>) {
    if let Some(origin) = origin {
        headers.push(("access-control-allow-origin", origin.to_owned()));
        headers.push(("access-control-allow-credentials", "true".to_owned()));
        // Envoy joins several lines of this name, so it is one line here too.
        match headers.iter_mut().find(|(name, _)| *name == "vary") {
            Some((_, vary)) => vary.push_str(", origin"),
            None => headers.push(("vary", "origin".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Denial, u16, &str); 12] = [
        (Denial::SessionRequired, 401, "session_required"),
        (Denial::Forbidden, 403, "forbidden"),
        (Denial::BadOrigin, 403, "bad_origin"),
        (Denial::Prefetch, 403, "prefetch"),
        (Denial::AmbiguousPath, 400, "ambiguous_path"),
        (Denial::BadHost, 400, "bad_host"),
        (Denial::BadMethod, 400, "bad_method"),
        (Denial::UnknownHost, 421, "unknown_host"),
        (Denial::Unavailable { retry: true }, 503, "sessions_unavailable"),
        (Denial::Unavailable { retry: false }, 503, "sessions_unavailable"),
        (Denial::Busy, 503, "sessions_busy"),
        (Denial::SessionTooLarge, 500, "session_too_large"),
    ];

    #[test]
    fn every_denial_is_json_with_its_code_and_is_not_stored() {
        for (denial, status, code) in ALL {
            let reply = LocalReply::new(denial, "myapp", None);
            let body: serde_json::Value = serde_json::from_str(reply.body).unwrap();
            assert_eq!(reply.status, status);
            assert_eq!(body["error"], code);
            assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()));
            assert_eq!(body.as_object().unwrap().len(), 2);
            assert!(reply.headers.contains(&("content-type", "application/json".into())));
            assert!(reply.headers.contains(&("cache-control", "no-store".into())));
        }
    }

    fn names(denial: Denial, origin: Option<&str>) -> Vec<(&'static str, String)> {
        LocalReply::new(denial, "myapp", origin).headers.split_off(2)
    }

    #[test]
    fn only_401_has_a_challenge_and_only_an_outage_has_retry_after() {
        for (denial, ..) in ALL {
            let expected = match denial {
                Denial::SessionRequired => vec![("www-authenticate", "Session realm=\"myapp\"".to_owned())],
                Denial::Unavailable { retry: true } | Denial::Busy => vec![("retry-after", "1".to_owned())],
                _ => vec![],
            };
            assert_eq!(names(denial, None), expected, "{denial:?}");
        }
    }

    #[test]
    fn a_login_redirect_is_not_cached_and_varies_by_kind_of_request() {
        let reply = LocalReply::login("https://login.example.com/".to_owned(), None);
        assert_eq!(reply.status, 302);
        assert_eq!(
            reply.headers,
            [
                ("location", "https://login.example.com/".to_owned()),
                ("cache-control", "no-store".to_owned()),
                ("vary", "accept, sec-fetch-mode".to_owned()),
            ]
        );
    }

    #[test]
    fn a_reply_that_varies_by_origin_too_says_so_in_one_header() {
        let reply = LocalReply::login("/login".to_owned(), Some("https://a.example"));
        let vary: Vec<_> = reply.headers.iter().filter(|(name, _)| *name == "vary").collect();
        assert_eq!(vary, [&("vary", "accept, sec-fetch-mode, origin".to_owned())]);
    }

    #[test]
    fn a_logout_deletes_cookies_and_redirects_if_configured() {
        let cookies = || vec!["a=; Max-Age=0".to_owned(), "b=; Max-Age=0".to_owned()];
        let moved = LocalReply::logged_out(Some("/"), cookies(), None);
        assert_eq!(moved.status, 303);
        assert_eq!(
            moved.headers,
            [
                ("cache-control", "no-store".to_owned()),
                ("location", "/".to_owned()),
                ("set-cookie", "a=; Max-Age=0".to_owned()),
                ("set-cookie", "b=; Max-Age=0".to_owned()),
            ]
        );
        let stays = LocalReply::logged_out(None, vec![], Some("https://a.example"));
        assert_eq!(stays.status, 204);
        assert!(stays.headers.contains(&("access-control-allow-origin", "https://a.example".to_owned())));
    }

    #[test]
    fn a_preflight_is_allowed_what_it_asks_for() {
        let names = |headers: Option<&str>| {
            let reply = LocalReply::preflight("POST", headers, Some("https://a.example"));
            assert_eq!((reply.status, reply.body), (204, ""));
            assert_eq!(reply.headers.last(), Some(&("vary", "origin".to_owned())));
            reply.headers.into_iter().filter(|(name, _)| name.starts_with("access-control-allow-")).collect::<Vec<_>>()
        };
        let own = |name, value: &str| (name, value.to_owned());
        let method = own("access-control-allow-methods", "POST");
        let headers = own("access-control-allow-headers", "x-csrf-token, content-type");
        let origin = own("access-control-allow-origin", "https://a.example");
        let credentials = own("access-control-allow-credentials", "true");
        assert_eq!(names(None), [method.clone(), origin.clone(), credentials.clone()]);
        assert_eq!(names(Some("x-csrf-token, content-type")), [method, headers, origin, credentials]);
    }

    #[test]
    fn scripts_of_a_listed_origin_may_read_the_reply() {
        assert_eq!(
            names(Denial::BadOrigin, Some("https://a.example")),
            [
                ("access-control-allow-origin", "https://a.example".to_owned()),
                ("access-control-allow-credentials", "true".to_owned()),
                ("vary", "origin".to_owned()),
            ]
        );
    }
}

//! The filter's own answers.

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    SessionRequired,
    Forbidden,
    BadOrigin,
    AmbiguousPath,
    BadHost,
    UnknownHost,
    /// In an outage trying again helps; after a bad answer it may not.
    Unavailable {
        retry: bool,
    },
    Busy,
    SessionTooLarge,
}

impl Denial {
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::SessionRequired => 401,
            Self::Forbidden | Self::BadOrigin => 403,
            Self::AmbiguousPath | Self::BadHost => 400,
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
            Self::AmbiguousPath => {
                r#"{"error":"ambiguous_path","message":"The path can be read in more than one way."}"#
            }
            Self::BadHost => r#"{"error":"bad_host","message":"The host is neither a DNS name nor an IP address."}"#,
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

    /// The gRPC status (<https://grpc.io/docs/guides/status-codes/>), where it is not left to Envoy's own mapping.
    fn grpc_status(self) -> Option<u32> {
        match self.status() {
            401 => Some(16),
            403 => Some(7),
            503 => Some(14),
            _ => None,
        }
    }
}

/// An answer that is given instead of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: &'static str,
    /// For gRPC requests only; absent: as Envoy maps the status.
    pub grpc_status: Option<u32>,
}

impl LocalReply {
    /// The answer for a denial. `app` names the sessions that are asked for; `origin` is a web origin whose scripts may
    /// read the answer.
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

    /// The answer that sends a person to log in.
    #[must_use]
    pub fn login(location: String, origin: Option<&str>) -> Self {
        let mut headers = vec![
            ("location", location),
            ("cache-control", "no-store".to_owned()),
            // Another client is told 401 at the same URL.
            ("vary", "accept, sec-fetch-mode".to_owned()),
        ];
        share(origin, &mut headers);
        Self { status: 302, headers, body: "", grpc_status: None }
    }

    /// The answer to one who has logged out.
    #[must_use]
    pub fn logged_out(redirect: Option<&str>, cookies: Vec<String>, origin: Option<&str>) -> Self {
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        headers.extend(redirect.map(|location| ("location", location.to_owned())));
        headers.extend(cookies.into_iter().map(|cookie| ("set-cookie", cookie)));
        share(origin, &mut headers);
        Self { status: if redirect.is_some() { 303 } else { 204 }, headers, body: "", grpc_status: None }
    }
}

/// Lets scripts of a web origin read the answer (Fetch Standard, section 3.2).
fn share(origin: Option<&str>, headers: &mut Vec<(&'static str, String)>) {
    if let Some(origin) = origin {
        headers.push(("access-control-allow-origin", origin.to_owned()));
        headers.push(("access-control-allow-credentials", "true".to_owned()));
        headers.push(("vary", "origin".to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Denial, u16, &str); 10] = [
        (Denial::SessionRequired, 401, "session_required"),
        (Denial::Forbidden, 403, "forbidden"),
        (Denial::BadOrigin, 403, "bad_origin"),
        (Denial::AmbiguousPath, 400, "ambiguous_path"),
        (Denial::BadHost, 400, "bad_host"),
        (Denial::UnknownHost, 421, "unknown_host"),
        (Denial::Unavailable { retry: true }, 503, "sessions_unavailable"),
        (Denial::Unavailable { retry: false }, 503, "sessions_unavailable"),
        (Denial::Busy, 503, "sessions_busy"),
        (Denial::SessionTooLarge, 500, "session_too_large"),
    ];

    #[test]
    fn every_answer_is_json_with_its_code_and_is_not_stored() {
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
    fn only_a_missing_session_asks_for_one_and_only_an_outage_says_when_to_retry() {
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
    fn a_person_is_sent_to_log_in_by_an_answer_for_that_person_alone() {
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
    fn logging_out_deletes_cookies_and_leads_on_where_there_is_somewhere_to_go() {
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
    fn scripts_of_a_listed_origin_may_read_the_answer() {
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

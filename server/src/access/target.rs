//! What a request asks for, read from its path as the router reads it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

/// An endpoint of an app, by the name in its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    Create,
    Get,
    Set,
    Renew,
    Kill,
    KillSoid,
    KillAll,
    Activity,
    SoApp,
    Soid,
}

impl Verb {
    const NAMES: [(&str, Self); 10] = [
        ("create", Self::Create),
        ("get", Self::Get),
        ("set", Self::Set),
        ("renew", Self::Renew),
        ("kill", Self::Kill),
        ("killsoid", Self::KillSoid),
        ("killall", Self::KillAll),
        ("activity", Self::Activity),
        ("soapp", Self::SoApp),
        ("soid", Self::Soid),
    ];

    fn from_path(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, verb)| *verb)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Needs no authorization and no allowed host.
    Health,
    /// Every known caller may request it. Apps and verbs do not matter.
    Metrics,
    Endpoint {
        app: Cow<'a, str>,
        verb: Verb,
    },
    /// An endpoint that is not known here. The router should know none either.
    Other,
}

impl<'a> Target<'a> {
    /// The names of endpoints are case-insensitive, one trailing slash is ignored, and the app is percent-encoded. A
    /// path may count as an endpoint that the router does not serve, never the other way round.
    pub fn of(path: &'a str) -> Self {
        let mut segments = path.strip_suffix('/').unwrap_or(path).split('/').skip(1);
        match (segments.next(), segments.next()) {
            (Some(name), None) if is_one_of(name, &["ping", "livez", "readyz"]) => Self::Health,
            (Some(name), None) if is_one_of(name, &["metrics"]) => Self::Metrics,
            (Some(app), Some(name)) => match (Verb::from_path(name), percent_decode_str(app).decode_utf8()) {
                (Some(verb), Ok(app)) => Self::Endpoint { app, verb },
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_in_any_spelling_that_the_router_accepts() {
        let endpoint = |app: &'static str, verb| Target::Endpoint { app: app.into(), verb };
        for (path, expected) in [
            ("/ping", Target::Health),
            ("/PING/", Target::Health),
            ("/livez", Target::Health),
            ("/ReadyZ", Target::Health),
            ("/metrics/", Target::Metrics),
            ("/app1/kill/t", endpoint("app1", Verb::Kill)),
            ("/app1/Renew/t", endpoint("app1", Verb::Renew)),
            ("/app1/KillSOID/u/", endpoint("app1", Verb::KillSoid)),
            ("/%61pp%31/killall/", endpoint("app1", Verb::KillAll)),
            ("//ping", Target::Other),
            ("/ping//", Target::Other),
            ("/app1/k%69ll/t", Target::Other),
            ("/%ff/kill/t", Target::Other),
            ("/", Target::Other),
            ("//", Target::Other),
            ("", Target::Other),
            ("*", Target::Other),
        ] {
            assert_eq!(Target::of(path), expected, "{path}");
        }
    }
}

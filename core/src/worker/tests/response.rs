//! What a response says of its session: it is changed, ended or left alone, and the client does not see it.

use std::collections::HashSet;

use super::*;
use crate::http::headers::Headers;
use crate::policy::session_change::Change;
use crate::telemetry::{Gauge, LogLine};
use crate::worker::Event;
use crate::worker::Expectations;

fn writing(changes: Value) -> Site {
    site(with(json!({"write_back": {}}), changes))
}

/// What a response leads to.
#[derive(Debug, Default)]
struct Responded {
    /// The names of the response headers that were removed.
    removed: Vec<String>,
    /// The values of the `set-cookie` headers that were added.
    cookies: Vec<String>,
    /// The counters of changes.
    counted: Vec<Counter>,
    /// Why a change was ignored.
    why: Option<&'static str>,
    continues: bool,
    /// The status of the local reply that takes its place.
    status: Option<u16>,
}

impl Responded {
    fn read(actions: impl Iterator<Item = Action>) -> Self {
        let mut responded = Self::default();
        for action in actions {
            match action {
                Action::ChangeHeader(HeaderMap::ResponseHeaders, HeaderChange::Remove(name)) => {
                    responded.removed.push(text(&name));
                }
                Action::ChangeHeader(HeaderMap::ResponseHeaders, HeaderChange::Add(name, value)) => {
                    assert_eq!(text(&name), "set-cookie");
                    responded.cookies.push(text(&value));
                }
                Action::Count(
                    counter @ (Counter::WriteBacks | Counter::WriteBackFailures | Counter::WriteBacksDropped),
                ) => responded.counted.push(counter),
                Action::Log(LogLine::ChangeIgnored { why }) => responded.why = Some(why),
                Action::ContinueResponse => responded.continues = true,
                Action::Reply(reply) => responded.status = Some(reply.status),
                Action::CallDuration(_)
                | Action::Gauge(Gauge::InFlight | Gauge::PendingBytes, _)
                | Action::Count(Counter::Calls | Counter::CallFailures(_) | Counter::Ends)
                | Action::Log(LogLine::CallFailed { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        responded
    }
}

/// The response to a request that goes on after this lookup, and the change that it waits for.
fn respond(site: &Site, lookup: &Response, headers: &[(&str, &str)]) -> (Responded, Option<Change>) {
    let Handled { mut shell, stream } = site.settle(lookup);
    let before = shell.carried_out.len();
    shell.upstream_responds(stream, headers);
    let responded = Responded::read(shell.carried_out.drain(before..).map(|(_, action)| action));
    assert!(shell.calls.len() <= 1);
    let change = shell.calls.pop().map(|call| match (call.request.method(), &call.request.body) {
        ("POST", Some(body)) => Change::Set(body.clone()),
        ("DELETE", None) => Change::Kill,
        other => panic!("{other:?}"),
    });
    assert_eq!(responded.continues, change.is_none(), "it waits for its change");
    assert_eq!(responded.status, None);
    (responded, change)
}

fn set(body: &str) -> Option<Change> {
    Some(Change::Set(body.to_owned()))
}

#[test]
fn a_response_that_says_nothing_of_its_session_is_left_alone() {
    let (responded, change) = respond(&writing(json!({})), &session(), &[("set-cookie", "a=b"), ("x-session", "1")]);
    assert!(responded.removed.is_empty() && responded.counted.is_empty() && change.is_none());
}

#[test]
fn a_session_is_changed_or_ended_as_the_response_says() {
    let site = writing(json!({}));
    for (headers, expected) in [
        (&[("x-session-set", r#"{"cart":3,"tmp":null}"#)][..], set(r#"{"cart":3,"tmp":null}"#)),
        (&[("x-session-set", r#"{"a":1}"#), ("x-session-set", r#"{"b":2}"#)], set(r#"{"a":1,"b":2}"#)),
        (&[("x-session-kill", "1")], Some(Change::Kill)),
        (&[("x-session-set", r#"{"a":1}"#), ("x-session-kill", "1")], Some(Change::Kill)),
    ] {
        let (responded, change) = respond(&site, &session(), headers);
        assert_eq!(change, expected);
        assert!(responded.counted.is_empty(), "it counts once the call is over");
        assert_eq!(responded.removed.len(), headers.iter().map(|(name, _)| name).collect::<HashSet<_>>().len());
    }
}

#[test]
fn every_spelling_of_both_headers_is_removed_and_only_the_exact_one_changes_the_session() {
    let headers = [("x_session_set", r#"{"a":1}"#), ("x-session.kill", "1")];
    let (responded, change) = respond(&writing(json!({})), &session(), &headers);
    assert_eq!(responded.removed, ["x_session_set", "x-session.kill"]);
    assert!(change.is_none());
    assert_eq!((responded.counted, responded.why), (vec![Counter::WriteBacksDropped], Some("another_spelling")));
}

#[test]
fn a_response_may_change_a_session_only_if_its_request_had_one_and_its_rule_permits_it() {
    let headers = [("x-session-set", r#"{"a":1}"#)];
    let optional = json!({"default": {"session": "optional"}});
    for (changes, lookup) in [
        (json!({"default": {"session": "required", "write_back": false}}), session()),
        (json!({"shadow": true}), session()),
        (optional.clone(), none()),
        (json!({"failure_mode": "allow"}), Response::Timeout),
    ] {
        let (responded, change) = respond(&writing(changes.clone()), &lookup, &headers);
        assert!(change.is_none(), "{changes}");
        assert_eq!(responded.removed, ["x-session-set"], "{changes}");
        assert_eq!((responded.counted, responded.why), (vec![Counter::WriteBacksDropped], Some("not_allowed")));
    }
    assert!(respond(&writing(optional), &session(), &headers).1.is_some());
}

#[test]
fn a_response_sets_no_key_that_a_requirement_reads_unless_keys_lists_it() {
    let guarded = json!({"rules": [{"match": {"paths": ["/admin"]}, "session": "required",
                                    "require": [{"field": "d.role", "equals": "admin"}]}]});
    let listed = with(guarded.clone(), json!({"write_back": {"keys": ["role", "cart"]}}));
    for (changes, body, why) in [
        (&guarded, r#"{"role":"admin"}"#, Some("key_not_allowed")),
        (&guarded, r#"{"cart":1,"role":null}"#, Some("key_not_allowed")),
        (&guarded, r#"{"cart":1}"#, None),
        (&listed, r#"{"role":"admin"}"#, None),
        (&listed, r#"{"theme":"dark"}"#, Some("key_not_allowed")),
    ] {
        let (responded, change) = respond(&writing(changes.clone()), &session(), &[("x-session-set", body)]);
        assert_eq!((responded.why, change.is_none()), (why, why.is_some()), "{body}");
    }
}

#[test]
fn a_malformed_change_is_dropped_and_the_response_goes_on() {
    for (name, value, why) in [
        ("x-session-set", "junk", "not_json"),
        ("x-session-set", r#"{"a":[]}"#, "nested"),
        ("x-session-set", "{}", "empty"),
        ("x-session-kill", "yes", "kill_is_not_1"),
    ] {
        let (responded, change) = respond(&writing(json!({})), &session(), &[(name, value)]);
        assert_eq!((responded.why, change.is_none()), (Some(why), true), "{value}");
        assert_eq!((responded.removed, responded.counted), (vec![name.to_owned()], vec![Counter::WriteBacksDropped]));
    }
}

/// What a response leads to after this response to its change.
fn concluded(site: &Site, headers: &[(&str, &str)], response: &Response) -> Responded {
    let Handled { mut shell, stream } = site.settle(&session());
    match response {
        Response::Busy if headers == KILL => exhaust_kills_in_flight(&mut shell, "session-cookie", 0),
        Response::Busy => exhaust_calls_in_flight(&mut shell, "session-cookie", 0),
        Response::NotDispatched => shell.refuses_dispatches = true,
        _ => {}
    }
    let before = shell.carried_out.len();
    shell.upstream_responds(stream, headers);
    if !matches!(response, Response::Busy | Response::NotDispatched) {
        shell.respond_to(stream, response);
    }
    let responded = Responded::read(shell.carried_out.drain(before..).map(|(_, action)| action));
    assert_eq!(responded.continues, responded.status.is_none());
    responded
}

const KILL: [(&str, &str); 1] = [("x-session-kill", "1")];
const SET: [(&str, &str); 1] = [("x-session-set", r#"{"a":1}"#)];

#[test]
fn the_cookies_of_an_ended_session_are_deleted_except_those_that_the_response_sets() {
    let is_done = |responded: Responded, cookies: &[&str]| {
        assert_eq!(responded.cookies, cookies);
        assert_eq!((responded.counted, responded.status), (vec![Counter::WriteBacks], None));
    };
    let sources = json!([{"cookie": "session-cookie"}, {"header": "x-token"}, {"cookie": "old"}]);
    let site = writing(json!({"token_from": sources}));
    let both = [
        "session-cookie=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax",
        "old=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax",
    ];
    for existed in [true, false] {
        is_done(concluded(&site, &KILL, &killed(existed)), &both);
    }
    is_done(concluded(&site, &SET, &session()), &[]);
    // A response that ends a session and begins another sets its cookie too.
    let renewed = [KILL[0], ("set-cookie", "old=new; Path=/"), ("set-cookie", "theme=session-cookie")];
    is_done(concluded(&site, &renewed, &killed(true)), &both[..1]);
    let cookie = json!({"path": "/app", "domain": "example.com", "same_site": "Strict"});
    is_done(
        concluded(&writing(json!({"cookie": cookie})), &KILL, &killed(true)),
        &["session-cookie=; Max-Age=0; Path=/app; Domain=example.com; Secure; HttpOnly; SameSite=Strict"],
    );
}

#[test]
fn a_failed_change_lets_the_response_go_on_or_replaces_it_as_configured() {
    for failure in [Response::Timeout, Response::Busy, Response::TooLarge, Response::NotDispatched] {
        for headers in [KILL, SET] {
            let site = |on_failure: &str| {
                writing(json!({"write_back": {"on_failure": on_failure}, "logout": {"path": "/logout"}}))
            };
            let (pass, deny) = (site("pass"), site("deny"));
            for (site, status) in [(pass, None), (deny, Some(503))] {
                let responded = concluded(&site, &headers, &failure);
                assert_eq!(responded.cookies, [""; 0], "{failure:?}");
                assert_eq!(responded.counted, [Counter::WriteBackFailures], "{failure:?}");
                assert_eq!(responded.status, status, "{failure:?}");
            }
        }
    }
}

#[test]
fn change_headers_are_removed_from_trailers_and_change_nothing() {
    let Handled { mut shell, stream } = writing(json!({})).settle(&session());
    let mut trailers = |pairs: &[(&str, &str)]| {
        let before = shell.carried_out.len();
        shell.handle(Event::ResponseTrailers(Headers::from_pairs(pairs)), Some(stream));
        assert!(shell.calls.is_empty());
        shell.carried_out.drain(before..).map(|(_, action)| action).collect::<Vec<_>>()
    };
    let actions = trailers(&[("grpc-status", "0"), ("x-session-kill", "1"), ("X-Session_Set", "{}")]);
    let [
        Action::ChangeHeader(HeaderMap::ResponseTrailers, kill),
        Action::ChangeHeader(HeaderMap::ResponseTrailers, set),
        Action::Count(Counter::WriteBacksDropped),
        Action::Log(LogLine::ChangeIgnored { why: "trailer" }),
        Action::ContinueResponse,
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(*kill, HeaderChange::Remove(b"x-session-kill".to_vec().into()));
    assert_eq!(*set, HeaderChange::Remove(b"X-Session_Set".to_vec().into()));
    assert!(matches!(trailers(&[("grpc-status", "0")])[..], [Action::ContinueResponse]));
}

#[test]
fn without_write_back_responses_are_not_read() {
    let site = site(json!({}));
    let (responded, change) = respond(&site, &session(), &SET);
    assert!(responded.removed.is_empty() && responded.counted.is_empty() && change.is_none());
    let handled = site.settle(&session());
    assert!(!handled.shell.worker.reads_responses());
    assert_eq!(handled.shell.worker.expectations(handled.stream), Expectations::default());
    let writing = writing(json!({})).settle(&session());
    assert!(writing.shell.worker.reads_responses());
    assert_eq!(
        writing.shell.worker.expectations(writing.stream),
        Expectations { may_change_session: true, ..Expectations::default() }
    );
}

#[test]
fn configured_names_take_the_place_of_the_default_ones() {
    let site = writing(json!({"write_back": {"set_header": "x-shop-set", "kill_header": "x-shop-kill"}}));
    let (_, change) = respond(&site, &session(), &[("x-shop-set", r#"{"a":1}"#)]);
    assert_eq!(change, set(r#"{"a":1}"#));
    let handled =
        site.begin(&[("x-shop-set", "1"), ("x_shop_kill", "1"), ("x-session-set", "1"), ("cookie", &cookie(0))]);
    let removals = handled.changes(HeaderMap::RequestHeaders);
    assert_eq!(
        removals.filter(|change| matches!(change, HeaderChange::Remove(_))).count(),
        3,
        "clients cannot use them"
    );
}

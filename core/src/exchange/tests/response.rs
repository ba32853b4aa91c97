//! What a response makes of its session: changed, ended, or left alone; and what the client sees of it.

use std::collections::HashSet;

use super::*;
use crate::policy::session_change::Change;
use crate::session::lookup::{Failure, Outage};

fn writing(changes: Value) -> Site {
    let mut config = json!({"write_back": {}});
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    site(config)
}

struct Response {
    removed: Vec<String>,
    counted: Vec<Counter>,
    why: Option<&'static str>,
    change: Option<(AwaitChange, Change)>,
}

/// The response to a request that had this session.
fn respond(site: &Site, lookup: &Lookup, headers: &[(&str, &str)]) -> Response {
    let awaited = site.settle(lookup).open.response;
    read(response_headers(&site.config, awaited, &Headers::from_pairs(headers)))
}

fn read(step: Step<Answered>) -> Response {
    let mut response = Response { removed: vec![], counted: vec![], why: None, change: None };
    for effect in step.effects {
        match effect {
            Effect::ResponseHeader(HeaderChange::Remove(name)) => response.removed.push(text(&name)),
            Effect::Count(counter) => response.counted.push(counter),
            Effect::Log(LogLine::ChangeIgnored { why }) => response.why = Some(why),
            other => panic!("{other:?}"),
        }
    }
    if let Answered::Changes(exchange, change) = step.next {
        response.change = Some((exchange, change));
    }
    response
}

fn setting(body: &str) -> Option<Change> {
    Some(Change::Set(body.to_owned()))
}

#[test]
fn a_response_that_says_nothing_of_its_session_is_left_alone() {
    let response = respond(&writing(json!({})), &session(), &[("set-cookie", "a=b"), ("x-session", "1")]);
    assert!(response.removed.is_empty() && response.counted.is_empty() && response.change.is_none());
}

#[test]
fn a_session_is_changed_or_ended_as_the_response_says() {
    let site = writing(json!({}));
    for (headers, change) in [
        (&[("x-session-set", r#"{"cart":3,"tmp":null}"#)][..], setting(r#"{"cart":3,"tmp":null}"#)),
        (&[("x-session-set", r#"{"a":1}"#), ("x-session-set", r#"{"b":2}"#)], setting(r#"{"a":1,"b":2}"#)),
        (&[("x-session-kill", "1")], Some(Change::Kill)),
        (&[("x-session-set", r#"{"a":1}"#), ("x-session-kill", "1")], Some(Change::Kill)),
    ] {
        let response = respond(&site, &session(), headers);
        assert_eq!(response.change.map(|(_, change)| change), change);
        assert!(response.counted.is_empty(), "it counts once it is done");
        assert_eq!(response.removed.len(), headers.iter().map(|(name, _)| name).collect::<HashSet<_>>().len());
    }
}

#[test]
fn no_spelling_of_either_header_reaches_a_client_and_only_the_exact_one_changes_anything() {
    let site = writing(json!({}));
    let response = respond(&site, &session(), &[("x_session_set", r#"{"a":1}"#), ("x-session.kill", "1")]);
    assert_eq!(response.removed, ["x_session_set", "x-session.kill"]);
    assert!(response.change.is_none());
    assert_eq!((response.counted, response.why), (vec![Counter::WriteBacksDropped], Some("another_spelling")));
}

#[test]
fn only_who_was_let_through_with_a_session_that_the_rule_lets_change_may_change_it() {
    let headers = [("x-session-set", r#"{"a":1}"#)];
    let optional = json!({"default": {"session": "optional"}});
    let outage = Lookup::Failed(Failure::Outage(Outage::Timeout));
    for (changes, lookup) in [
        (json!({"default": {"session": "required", "write_back": false}}), session()),
        (json!({"shadow": true}), session()),
        (optional.clone(), Lookup::None),
        (json!({"failure_mode": "allow"}), outage),
    ] {
        let response = respond(&writing(changes.clone()), &lookup, &headers);
        assert!(response.change.is_none(), "{changes}");
        assert_eq!(response.removed, ["x-session-set"], "{changes}");
        assert_eq!((response.counted, response.why), (vec![Counter::WriteBacksDropped], Some("not_allowed")));
    }
    assert!(respond(&writing(optional), &session(), &headers).change.is_some());
}

#[test]
fn what_requirements_read_no_upstream_sets_unless_keys_say_so() {
    let guarded = json!({"rules": [{"match": {"paths": ["/admin"]}, "session": "required",
                                    "require": [{"field": "d.role", "equals": "admin"}]}]});
    let mut listed = guarded.clone();
    listed["write_back"] = json!({"keys": ["role", "cart"]});
    for (changes, body, why) in [
        (&guarded, r#"{"role":"admin"}"#, Some("key_not_allowed")),
        (&guarded, r#"{"cart":1,"role":null}"#, Some("key_not_allowed")),
        (&guarded, r#"{"cart":1}"#, None),
        (&listed, r#"{"role":"admin"}"#, None),
        (&listed, r#"{"theme":"dark"}"#, Some("key_not_allowed")),
    ] {
        let response = respond(&writing(changes.clone()), &session(), &[("x-session-set", body)]);
        assert_eq!((response.why, response.change.is_none()), (why, why.is_some()), "{body}");
    }
}

#[test]
fn what_is_no_change_is_dropped_and_the_response_goes_through() {
    for (name, value, why) in [
        ("x-session-set", "junk", "not_json"),
        ("x-session-set", r#"{"a":[]}"#, "nested"),
        ("x-session-set", "{}", "empty"),
        ("x-session-kill", "yes", "kill_is_not_1"),
    ] {
        let response = respond(&writing(json!({})), &session(), &[(name, value)]);
        assert_eq!((response.why, response.change.is_none()), (Some(why), true), "{value}");
        assert_eq!((response.removed, response.counted), (vec![name.to_owned()], vec![Counter::WriteBacksDropped]));
    }
}

/// What becomes of a response once its call is over: the cookies that it gets, what is counted, its status if it is
/// replaced.
fn concluded(
    site: &Site,
    headers: &[(&str, &str)],
    outcome: Result<bool, Failure>,
) -> (Vec<String>, Vec<Counter>, Option<u16>) {
    let settled = site.settle(&session());
    let response = read(response_headers(&site.config, settled.open.response, &Headers::from_pairs(headers)));
    let (exchange, _) = response.change.expect("a change is asked for");
    let step = exchange.conclude(site.around(), &settled.headers, outcome);
    let (mut cookies, mut counted) = (Vec::new(), Vec::new());
    for effect in step.effects {
        match effect {
            Effect::ResponseHeader(HeaderChange::Add(name, value)) if text(&name) == "set-cookie" => {
                cookies.push(text(&value));
            }
            Effect::Count(counter) => counted.push(counter),
            other => panic!("{other:?}"),
        }
    }
    let status = if let Written::Reply(reply) = step.next { Some(reply.status) } else { None };
    (cookies, counted, status)
}

const KILL: [(&str, &str); 1] = [("x-session-kill", "1")];
const SET: [(&str, &str); 1] = [("x-session-set", r#"{"a":1}"#)];

#[test]
fn a_session_that_has_ended_takes_its_cookies_along() {
    let done = |cookies: &[&str]| {
        (cookies.iter().map(|cookie| (*cookie).to_owned()).collect::<Vec<_>>(), vec![Counter::WriteBacks], None)
    };
    let sources = json!([{"cookie": "session-cookie"}, {"header": "x-token"}, {"cookie": "old"}]);
    let site = writing(json!({"token_from": sources}));
    let both =
        ["session-cookie=; Max-Age=0; Path=/; Secure; SameSite=Lax", "old=; Max-Age=0; Path=/; Secure; SameSite=Lax"];
    for there_was_one in [true, false] {
        assert_eq!(concluded(&site, &KILL, Ok(there_was_one)), done(&both));
    }
    assert_eq!(concluded(&site, &SET, Ok(true)), done(&[]));
    // Who ends a session to begin another sets its cookie in the same response.
    let renewed = [KILL[0], ("set-cookie", "old=new; Path=/"), ("set-cookie", "theme=session-cookie")];
    assert_eq!(concluded(&site, &renewed, Ok(true)), done(&both[..1]));
    let logout = json!({"path": "/logout", "cookie": {"path": "/app", "domain": "example.com", "same_site": "Strict"}});
    assert_eq!(
        concluded(&writing(json!({"logout": logout})), &KILL, Ok(true)),
        done(&["session-cookie=; Max-Age=0; Path=/app; Domain=example.com; Secure; SameSite=Strict"])
    );
}

#[test]
fn a_failure_lets_the_response_go_on_or_replaces_it() {
    let failures =
        [Failure::Outage(Outage::Timeout), Failure::Busy, Failure::Bad(crate::session::lookup::BadResponse::TooLarge)];
    for failure in failures {
        for headers in [KILL, SET] {
            let (cookies, counted, status) = concluded(&writing(json!({})), &headers, Err(failure));
            assert_eq!((cookies, counted, status), (vec![], vec![Counter::WriteBackFailures], None));
            let strict = writing(json!({"write_back": {"on_failure": "deny"}}));
            let (cookies, counted, status) = concluded(&strict, &headers, Err(failure));
            assert_eq!((cookies, counted, status), (vec![], vec![Counter::WriteBackFailures], Some(503)));
        }
    }
}

#[test]
fn trailers_change_nothing_and_show_nothing() {
    let site = writing(json!({}));
    let trailers = Headers::from_pairs(&[("grpc-status", "0"), ("x-session-kill", "1"), ("X-Session_Set", "{}")]);
    let effects = response_trailers(&site.config, &trailers);
    assert_eq!(
        effects,
        [
            Effect::ResponseTrailer(HeaderChange::Remove(b"x-session-kill".to_vec().into())),
            Effect::ResponseTrailer(HeaderChange::Remove(b"X-Session_Set".to_vec().into())),
            Effect::Count(Counter::WriteBacksDropped),
            Effect::Log(LogLine::ChangeIgnored { why: "trailer" }),
        ]
    );
    assert!(response_trailers(&site.config, &Headers::from_pairs(&[("grpc-status", "0")])).is_empty());
}

#[test]
fn without_write_back_no_response_is_looked_at() {
    let response = respond(&site(json!({})), &session(), &SET);
    assert!(response.removed.is_empty() && response.counted.is_empty() && response.change.is_none());
    assert!(site(json!({})).settle(&session()).open.response.is_none());
}

#[test]
fn names_of_ones_own_choice_take_the_place_of_the_usual_ones() {
    let site = writing(json!({"write_back": {"set_header": "x-shop-set", "kill_header": "x-shop-kill"}}));
    let response = respond(&site, &session(), &[("x-shop-set", r#"{"a":1}"#)]);
    assert_eq!(response.change.map(|(_, change)| change), setting(r#"{"a":1}"#));
    let told = site.begin(&[("x-shop-set", "1"), ("x_shop_kill", "1"), ("x-session-set", "1"), ("cookie", &cookie(0))]);
    let removed = told.effects.iter().filter(|effect| matches!(effect, Effect::RequestHeader(HeaderChange::Remove(_))));
    assert_eq!(removed.count(), 3, "a client that sends them has no effect");
}

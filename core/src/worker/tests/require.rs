//! What a session may do: a requirement that fails leads to 403.

use super::*;

fn admins(changes: Value) -> Site {
    let rule = json!({"session": "required", "require": [{"field": "d.role", "one_of": ["admin", "owner"]}]});
    let off = json!([{"match": {"paths": ["/login"]}, "session": "off"}]);
    let login = json!({"url": "/login?{url}"});
    site(json!({"default": with(rule, changes), "rules": off, "hosts": ["shop.example"], "login": login}))
}

fn role(role: &str) -> Response {
    session_with(json!({"role": role}))
}

fn forbidden() -> Verdict {
    reply(403, "forbidden")
}

#[test]
fn only_a_request_with_an_active_session_gets_403() {
    let site = admins(json!({}));
    for (response, verdict, outcome) in [
        (
            role("admin"),
            forward(&[("x-session-user", "user123"), ("x-session-data", r#"{"role":"admin"}"#)]),
            Outcome::Allowed,
        ),
        (role("member"), forbidden(), Outcome::DeniedForbidden),
        (session(), forbidden(), Outcome::DeniedForbidden),
        (none(), denied(), Outcome::DeniedNoSession),
        (Response::Timeout, reply(503, "sessions_unavailable"), Outcome::DeniedUnavailable),
        (Response::Busy, reply(503, "sessions_busy"), Outcome::DeniedBusy),
    ] {
        let handled = site.settle(&response);
        assert_eq!(handled.verdict(), verdict, "{response:?}");
        assert_eq!(handled.outcomes(), [outcome], "{response:?}");
    }
}

#[test]
fn all_requirements_must_hold() {
    let site = site(json!({"default": {"session": "required", "require": [
        {"field": "d.role", "equals": "admin"},
        {"field": "d.level", "at_least": 3},
        {"field": "age", "at_most": "1m"},
        {"field": "d.banned", "present": false}
    ]}}));
    let verdict = |data: &Value| site.settle(&session_with(data.clone())).verdict();
    assert!(matches!(verdict(&json!({"role": "admin", "level": 3})), Verdict::Forward(..)));
    for data in [
        json!({"role": "admin"}),
        json!({"level": 3}),
        json!({"role": "admin", "level": 2.5}),
        json!({"role": "admin", "level": 3, "banned": false}),
    ] {
        assert_eq!(verdict(&data), forbidden(), "{data}");
    }
}

#[test]
fn a_forbidden_navigation_is_redirected_to_log_in_if_so_configured() {
    let site = admins(json!({"on_forbidden": "login"}));
    let handled = site.settle_with(&NAVIGATION, &role("member"));
    let location = "/login?https%3A%2F%2Fshop.example%2Fsomewhere".to_owned();
    assert_eq!(handled.verdict(), Verdict::Redirect(302, location));
    assert_eq!(handled.outcomes(), [Outcome::Redirected]);
    assert_eq!(site.settle(&role("member")).verdict(), forbidden(), "a script gets 403");
    let default = admins(json!({})).settle_with(&NAVIGATION, &role("member"));
    assert_eq!(default.verdict(), forbidden(), "the default is 403");
}

#[test]
fn the_clients_address_is_the_one_that_the_host_trusts() {
    let site = site(json!({"default": {"session": "required", "require": [{"field": "ip", "is_client": true}]}}));
    let from = |ip: &str| site.settle(&Response::Json(json!({"id": "a", "ttl": 1, "ip": ip}))).outcomes();
    assert_eq!(from("203.0.113.7"), [Outcome::Allowed]);
    assert_eq!(from("::ffff:203.0.113.7"), [Outcome::Allowed]);
    assert_eq!(from("203.0.113.8"), [Outcome::DeniedForbidden]);
    assert_eq!(site.settle(&session()).outcomes(), [Outcome::DeniedForbidden]);
}

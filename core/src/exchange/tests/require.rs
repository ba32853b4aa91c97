//! What a session may do: a requirement that does not hold is a 403, and never anything but that.

use super::*;
use crate::session::lookup::{Failure, Outage};

fn admins(more: Value) -> Site {
    let mut rule = json!({"session": "required", "require": [{"field": "d.role", "one_of": ["admin", "owner"]}]});
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    let open = json!([{"match": {"paths": ["/login"]}, "session": "off"}]);
    site(json!({"default": rule, "rules": open, "hosts": ["shop.example"], "login": {"url": "/login?{url}"}}))
}

fn role(role: &'static str) -> Lookup {
    session_with(&[("role", Scalar::Text(role.into()))])
}

const FORBIDDEN: Went = Went::Reply(403, "forbidden");

#[test]
fn only_an_active_session_is_ever_forbidden_anything() {
    let site = admins(json!({}));
    for (lookup, went, outcome) in [
        (
            role("admin"),
            forward(&[("x-session-user", "user123"), ("x-session-data", r#"{"role":"admin"}"#)]),
            Outcome::Allowed,
        ),
        (role("member"), FORBIDDEN, Outcome::DeniedForbidden),
        (session(), FORBIDDEN, Outcome::DeniedForbidden),
        (Lookup::None, REQUIRED, Outcome::DeniedNoSession),
        (
            Lookup::Failed(Failure::Outage(Outage::Timeout)),
            Went::Reply(503, "sessions_unavailable"),
            Outcome::DeniedUnavailable,
        ),
        (Lookup::Failed(Failure::Busy), Went::Reply(503, "sessions_busy"), Outcome::DeniedBusy),
    ] {
        let told = site.settle(&lookup);
        assert_eq!(told.went, went, "{lookup:?}");
        assert_eq!(told.outcomes(), [outcome], "{lookup:?}");
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
    let went = |data: &[(&'static str, Scalar<'static>)]| site.settle(&session_with(data)).went;
    let (admin, level) = (("role", Scalar::Text("admin".into())), ("level", Scalar::Number("3")));
    assert!(matches!(went(&[admin.clone(), level.clone()]), Went::Forward(..)));
    for data in [
        vec![admin.clone()],
        vec![level.clone()],
        vec![admin.clone(), ("level", Scalar::Number("2.5"))],
        vec![admin, level, ("banned", Scalar::Bool(false))],
    ] {
        assert_eq!(went(&data), FORBIDDEN, "{data:?}");
    }
}

#[test]
fn whoever_is_forbidden_something_may_be_sent_to_log_in_again() {
    let site = admins(json!({"on_forbidden": "login"}));
    let told = site.settle_with(&NAVIGATION, &role("member"));
    assert_eq!(told.went, Went::Redirect(302, "/login?https%3A%2F%2Fshop.example%2Fsomewhere".to_owned()));
    assert_eq!(told.outcomes(), [Outcome::Redirected]);
    assert_eq!(site.settle(&role("member")).went, FORBIDDEN, "a script is told what it is");
    assert_eq!(
        admins(json!({})).settle_with(&NAVIGATION, &role("member")).went,
        FORBIDDEN,
        "unless nobody asks for it"
    );
}

#[test]
fn the_client_is_who_the_proxy_says() {
    let site = site(json!({"default": {"session": "required", "require": [{"field": "ip", "is_client": true}]}}));
    let from = |ip: &'static str| {
        let parts = Parts { id: "a".into(), ttl: "1", ip: Some(ip.into()), ..Parts::default() };
        site.settle(&Lookup::Active(parts.into())).outcomes()
    };
    assert_eq!(from("203.0.113.7"), [Outcome::Allowed]);
    assert_eq!(from("::ffff:203.0.113.7"), [Outcome::Allowed]);
    assert_eq!(from("203.0.113.8"), [Outcome::DeniedForbidden]);
    assert_eq!(site.settle(&session()).outcomes(), [Outcome::DeniedForbidden]);
}

//! `session-filter explain` as a process: its output, and that no token is in it. tests/mesh/explain.rs compares its
//! decisions with a real Envoy.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Ran, run, shows, token};

fn config() -> String {
    json!({
        "app": "mywebapp",
        "rest_sessions": {"cluster": "outbound|3000||rs.internal", "path_prefix": "/at/rs"},
        "hosts": ["shop.example.com", "admin.example.com"],
        "token_from": [{"cookie": "s"}, {"header": "authorization", "prefix": "Bearer "}, {"query": "t", "any": true}],
        "annotate": {"headers": {"x-session-user": "id", "x-role": "d.role", "x-status": "status"}},
        "limits": {"idle": "30m", "age": "12h"},
        "login": {"url": "/login?next={url}"},
        "logout": {"path": "/logout"},
        "rules": [
            {"name": "assets", "match": {"methods": ["GET"], "paths": ["/static/*"]}, "session": "off"},
            {"name": "pages", "match": {"paths": ["/", "/login"]}, "session": "optional"},
            {"name": "admin", "match": {"hosts": ["admin.example.com"]}, "session": "required", "app": "backoffice",
             "require": [{"field": "d.role", "one_of": ["admin"]}, {"field": "ip", "is_client": true}]},
            {"name": "trial", "match": {"paths": ["/trial/*"]}, "session": "required", "shadow": true, "recheck": "5s"},
            {"match": {"paths": ["/live"]}, "session": "required", "recheck": "5s", "login": "off"},
        ],
        "forward_token": false,
    })
    .to_string()
}

fn explain(args: &[&str]) -> Ran {
    run(&[&["explain", "-", "--request"], args].concat(), &config())
}

#[track_caller]
fn explained(args: &[&str]) -> String {
    let Ran { code, out, err } = explain(args);
    assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
    out
}

const COOKIE: &str = "cookie: s={token}";

#[test]
fn a_request_is_explained_from_its_path_to_what_the_upstream_gets() {
    let out = explained(&[
        "GET https://admin.example.com/users?x=1",
        "--header",
        COOKIE,
        "--header",
        "X-Session_User: spoofed",
        "--client",
        "203.0.113.7",
        "--session",
        r#"{"id":"u1","d":{"role":"admin"}}"#,
    ]);
    assert_eq!(
        out,
        "\
GET admin.example.com/users

path       read by all servers in the same way
rule       admin (rules[2]): session required, app backoffice
           not assets: the path is none of /static/*
           not pages: the path is none of /, /login
token      in cookie:s
callout    GET /at/rs/backoffice/get/…?max_idle=1800 at rs.internal (cluster outbound|3000||rs.internal)

With this session:
requires   d.role one_of [\"admin\"]: holds, it is \"admin\"
requires   ip is_client: holds, it is \"203.0.113.7\"
decision   allow, session (rest_sessions.allowed_total)
upstream   x-role: admin
           x-session-user: u1
           x-status: active
           without cookie, x-session_user
"
    );
}

#[test]
fn a_requirement_that_fails_says_what_was_found() {
    let out = explained(&[
        "GET https://admin.example.com/users",
        "--header",
        COOKIE,
        "--session",
        r#"{"id":"u1","ip":"192.0.2.9"}"#,
    ]);
    for line in [
        "requires   d.role one_of [\"admin\"]: does not hold, it is missing\n",
        "requires   ip is_client: does not hold, it is \"192.0.2.9\"\n",
        "decision   deny, forbidden (rest_sessions.denied_forbidden_total)\nreply      403\n",
    ] {
        assert!(out.contains(line), "{line}\nis not in\n{out}");
    }
}

#[test]
fn without_a_session_every_case_is_explained() {
    let out = explained(&["GET https://shop.example.com/account", "--header", "Authorization: bearer {token}"]);
    for part in [
        "rule       default: session required, app mywebapp\n           not assets: the path is none of /static/*\n",
        "not admin: the host is none of admin.example.com\n",
        "not rules[4]: the path is none of /live\n",
        "token      in header:authorization\n",
        "With an active session (--session '{\"id\":\"…\"}' shows more):\nupstream   x-role: d.role\n",
        "If there is no such session:\ndecision   deny, no_session",
        "If rest-sessions is unavailable:\ndecision   deny, unavailable",
    ] {
        assert!(out.contains(part), "{part}\nis not in\n{out}");
    }
}

#[test]
fn readings_are_shown_with_the_rules_that_they_select() {
    let out = explained(&["GET https://shop.example.com/%73tatic/a;b"]);
    assert!(
        out.contains("path       read as /%73tatic/a;b, rule default\n           or as /static/a;b, rule assets\n"),
        "{out}"
    );
    assert!(out.contains("decision   deny, ambiguous_path"), "{out}");
    let out = explained(&["GET https://shop.example.com/a/%2e%2e/b"]);
    assert!(out.contains("path       refused where rules match paths: a dot segment in the path\n"), "{out}");
    let out = explained(&["GET https://shop.example.com/%252525252e"]);
    assert!(
        out.contains("refused where rules match paths: a path that is percent-encoded more than three times\n"),
        "{out}"
    );
    let out = explained(&["GET https://shop.example.com/static%ff/a"]);
    assert!(out.contains("or as /static/a, rule assets\n") && out.contains("deny, ambiguous_path"), "{out}");
    let out = explained(&["GET https://evil.example.com/"]);
    assert!(out.contains("decision   deny, unknown_host") && !out.contains("rule "), "{out}");
}

#[test]
fn a_method_that_servers_read_differently_is_explained() {
    let out = explained(&["get https://shop.example.com/static/a"]);
    let refused = "method     refused where rules or logout name methods: a method with other characters than capitals";
    assert!(out.contains(refused) && !out.contains("rule "), "{out}");
    assert!(
        out.contains("decision   deny, bad_method (rest_sessions.denied_bad_method_total)\nreply      400\n"),
        "{out}"
    );
    let out = explained(&["POST https://shop.example.com/static/a?_method=get"]);
    assert!(out.contains("method     or GET by the query, rule assets\n"), "{out}");
    assert!(out.contains("decision   deny, bad_method"), "{out}");
    let out = explained(&["GET https://shop.example.com/static/a?_method=head"]);
    assert!(out.contains("or HEAD by the query, rule assets\n") && out.contains("decision   allow, off"), "{out}");
    let out = explained(&["POST https://shop.example.com/?_method=put&_method=get"]);
    assert!(out.contains("a query that names what is no method, or different ones\n"), "{out}");
}

#[test]
fn logins_logouts_shadow_and_rechecks_are_explained() {
    let out = explained(&["GET https://shop.example.com/account?t=x&u=1", "--header", "accept: text/html"]);
    assert!(out.contains("location: /login?next=https%3A%2F%2Fshop.example.com%2Faccount%3Fu%3D1\n"), "{out}");
    let out = explained(&["POST https://shop.example.com/logout", "--header", COOKIE, "--session", "unavailable"]);
    assert!(out.contains("DELETE /at/rs/mywebapp/kill/… at"), "{out}");
    assert!(out.contains("If rest-sessions is unavailable:\ndecision   deny, logout_failed"), "{out}");
    let out = explained(&["GET https://shop.example.com/trial/a", "--header", COOKIE, "--session", "none"]);
    assert!(out.contains("shadow: not enforced"), "{out}");
    assert!(
        out.contains("decision   deny, no_session (rest_sessions.shadow_denied_total)\nupstream   no headers"),
        "{out}"
    );
    let out = explained(&["GET https://shop.example.com/live", "--header", COOKIE, "--session", r#"{"id":"a"}"#]);
    assert!(out.contains("recheck    every 5 s\n"), "{out}");
    let grpc = ["--header", "content-type: application/grpc"];
    let out = explained(&[["POST https://shop.example.com/a", "--session", "none"].as_slice(), &grpc].concat());
    assert!(out.contains("reply      401, grpc-status 16\n"), "{out}");
}

#[test]
fn a_session_that_exceeds_a_limit_is_treated_as_absent_and_ended() {
    let with_session =
        |session: &str| explained(&["GET https://shop.example.com/live", "--header", COOKIE, "--session", session]);
    let ended = "limits     exceeded: the session is treated as absent, and is ended\ndecision   deny, no_session";
    assert!(with_session(r#"{"id":"a","idle":1801}"#).contains(ended));
    assert!(!with_session(r#"{"id":"a","idle":1800}"#).contains("limits"));
    // The token is created at the time of the request.
    let later = explained(&[
        "GET https://shop.example.com/live",
        "--header",
        COOKIE,
        "--session",
        r#"{"id":"a"}"#,
        "--now",
        "2000000000",
    ]);
    assert!(later.contains("decision   allow, session"), "{later}");
}

#[test]
fn an_argument_without_effect_gets_a_hint() {
    let out = explained(&["GET https://shop.example.com/live", "--session", r#"{"id":"a"}"#]);
    assert!(
        out.contains("token      none\n           cookie:s: absent\n")
            && out.contains("hint: the request has no token"),
        "{out}"
    );
    let out = explained(&["GET https://shop.example.com/static/a", "--session", "none"]);
    assert!(out.contains("hint: no session is looked up"), "{out}");
    let out = explained(&["GET /static/a"]);
    assert!(out.contains("hint: the request has no host"), "{out}");
}

#[test]
fn an_unusable_token_is_explained_by_its_mistake() {
    let secret = token(Duration::from_secs(60));
    let short = format!("cookie: s={}; s=junk", &secret[1..]);
    let future = format!("authorization: Bearer {}Zzzzzzzzz", &secret[..55]);
    let out = explained(&["GET https://shop.example.com/live", "--header", &short, "--header", &future]);
    let lines = "\
token      none
           cookie:s: it has 63 characters; expected 64 letters and digits; it has 4 characters; expected 64 letters and digits
           header:authorization: its creation time is in the future, or the clock of this machine is wrong
           query:t: absent
";
    assert!(out.contains(lines), "{out}");
    let five =
        format!("cookie: {}", ["a", "b", "c", "d", "e"].map(|first| format!("s={first}{}", &secret[1..])).join(";"));
    let out = explained(&["GET https://shop.example.com/live", "--header", &five]);
    assert!(out.contains("token      none: more than four different tokens in one source\n"), "{out}");
    assert!(out.contains("cookie:s: a well-formed token that is not used: the source has more than four"), "{out}");
}

#[test]
fn several_tokens_are_explained_with_a_session_for_each() {
    let secret = token(Duration::from_secs(60));
    let two = format!("cookie: s={secret}; s=x{}", &secret[1..]);
    let with = |sessions: &[&str]| {
        let sessions = sessions.iter().flat_map(|session| ["--session", session]);
        explained(
            &["GET https://admin.example.com/a", "--header", &two].into_iter().chain(sessions).collect::<Vec<_>>(),
        )
    };
    let out = with(&[r#"{"id":"u1","d":{"role":"admin"}}"#]);
    assert!(
        out.contains("token      in cookie:s: 2 different tokens, which are all looked up\ncallout    GET"),
        "{out}"
    );
    assert_eq!(out.matches("callout    GET /at/rs/backoffice/get/…").count(), 2, "{out}");
    assert!(out.contains("decision   allow, session"), "{out}");
    let out = with(&["none", r#"{"id":"u2","d":{"role":"guest"}}"#]);
    assert!(out.contains("requires   d.role one_of [\"admin\"]: does not hold, it is \"guest\"\n"), "{out}");
    assert!(out.contains("decision   deny, forbidden"), "{out}");
    let out = with(&[r#"{"id":"u1"}"#, r#"{"id":"u2"}"#]);
    let conflict = "conflict   more than one session is active, so the request has none\ndecision   deny, no_session";
    assert!(out.contains(&format!("With this session:\n{conflict}")), "{out}");
    assert!(with(&["unavailable"]).contains("decision   deny, unavailable"));
    assert!(with(&[r#"{"id":"u1"}"#, "unavailable"]).contains("decision   deny, unavailable"));
    assert!(with(&["none"]).contains("If there is no such session:\ndecision   deny, no_session"));
}

#[test]
fn json_has_the_same_content() {
    let out = explained(&["GET https://shop.example.com/live", "--header", COOKIE, "--session", "none", "--json"]);
    let explanation: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        explanation["rule"],
        json!({"label": "rules[4]", "place": 4, "session": "required", "app": "mywebapp", "shadow": false})
    );
    assert_eq!(explanation["readings"], json!([{"path": "/live", "rule": "rules[4]"}]));
    assert_eq!(explanation["outcomes"][0]["if"], "none");
    assert_eq!(explanation["outcomes"][0]["source"], "cookie:s");
    assert_eq!(explanation["outcomes"][0]["answer"]["status"], 401);
}

#[test]
fn no_token_is_ever_shown() {
    let secret = token(Duration::from_secs(60));
    let other = format!("x{}", &secret[1..]);
    let encoded: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let url = |query: &str| format!("GET https://shop.example.com/live{query}");
    for (request, header) in [
        (url(""), format!("cookie: s={secret}")),
        (url(""), format!("cookie: s={secret}; s={other}")),
        (url(""), format!("authorization: Bearer {secret}")),
        (url(&format!("?t={secret}")), "accept: text/html".to_owned()),
        (url(&format!("?t={encoded}&other={encoded}")), "accept: text/html".to_owned()),
        (format!("GET https://shop.example.com/a/{secret}?other={secret}"), "accept: text/html".to_owned()),
        (format!("GET https://shop.example.com/a/{encoded}"), format!("x-other: {secret}")),
        (format!("GET https://{secret}/"), format!("origin: https://{secret}")),
        (format!("GET https://shop.example.com/{secret}/../a"), format!("x-forwarded-proto: {secret}")),
        (secret.clone(), format!("cookie: s={secret}")),
        (url(""), secret.clone()),
    ] {
        for session in [r#"{"id":"u1"}"#, "none", "unavailable", secret.as_str()] {
            for more in
                [[].as_slice(), &["--json"], &["--nonsense"], &["--client", &secret], &["--now", &secret], &[&secret]]
            {
                let args = [
                    ["explain", "-", "--request", &request, "--header", &header, "--session", session].as_slice(),
                    more,
                ]
                .concat();
                let Ran { out, err, .. } = run(&args, &config());
                for output in [out, err] {
                    assert!(
                        !shows(&output, &secret) && !shows(&output, &other) && !shows(&output, &encoded),
                        "{args:?}\n{output}"
                    );
                }
            }
        }
    }
}

#[test]
fn invalid_arguments_and_a_configuration_with_problems_are_refused() {
    for (args, why) in [
        (vec!["GET"], "--request has no space"),
        (vec!["GET a"], "neither absolute nor a path"),
        (vec!["GET /", "--header", "a"], "--header number 1 has no name and colon"),
        (vec!["GET /", "--session", "who"], "--session is not a JSON object"),
        (vec!["GET /", "--session", "{}"], "`id` is missing"),
        (vec!["GET /", "--which", "2"], "--which takes a number from 1 to 1"),
        (vec!["GET /", "--client", "a"], "invalid value"),
    ] {
        let Ran { code, out, err } = explain(&args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.starts_with("error: ") && err.contains(why), "{err}");
    }
    let Ran { code, err, .. } = run(&["explain", "-", "--request", "GET /"], "{\"app\": \"x\"}");
    assert_eq!(code, 1);
    assert!(err.contains("app: found \"x\", expected 3 to 20"), "{err}");
}

#[test]
fn which_chooses_one_of_several_configurations() {
    let manifest = |name: &str, session: &str| {
        format!(
            "apiVersion: a/v1\nkind: WasmPlugin\nmetadata: {{name: {name}}}\nspec:\n  pluginConfig:\n    app: {name}\n    \
             rest_sessions: {{cluster: rs}}\n    default: {{session: '{session}'}}\n---\n"
        )
    };
    let both = manifest("one", "off") + &manifest("two", "required");
    let Ran { code, err, .. } = run(&["explain", "-", "--request", "GET /"], &both);
    assert_eq!(code, 2);
    assert!(
        err.contains("--which\n  1 WasmPlugin one: spec.pluginConfig\n  2 WasmPlugin two: spec.pluginConfig"),
        "{err}"
    );
    let Ran { out, .. } = run(&["explain", "-", "--request", "GET /", "--which", "2"], &both);
    assert!(out.contains("default: session required, app two"), "{out}");
}

//! Configurations: Struct and string are equivalent, and an invalid one is refused with every problem named.

use serde_json::{Value, json};

use crate::harness::envoy::{Listener, Packing, validate};
use crate::harness::mesh::{Setup, plugin};
use crate::harness::stub::{Call, CalloutResponse, Stub};
use crate::setup::{held_service, long_timeout};
use test_support::http1::Request;
use test_support::token;
use test_support::wait;

#[test]
fn a_struct_and_a_string_configure_the_filter_alike() {
    let stub = Stub::with_active_session();
    let mut keys = plugin(json!({
        "rules": [
            {"match": {"paths": ["/off/*"]}, "session": "off"},
            {"match": {"methods": ["POST"]}, "session": "optional"},
        ],
        "annotate": {"headers": {"x-session-user": "id"}, "max_bytes": 64},
        "filter_state": true,
        "forward_token": false,
    }));
    keys["rest_sessions"]["retries"] = 2.into();
    keys["rest_sessions"]["max_in_flight"] = 7.into();
    keys["rest_sessions"]["breaker"] = "off".into();
    let mesh = Setup::default()
        .listener(Listener::new("struct", keys.clone()))
        .listener(Listener { packing: Packing::Text, ..Listener::new("text", keys) })
        .sessions(stub.address())
        .start();
    for listener in ["struct", "text"] {
        let received = mesh.passes_at(listener, &Request::get("/").session(&token::fresh()));
        assert_eq!(received.header("x-session-user").as_deref(), Some("user123"), "{listener}");
        assert_eq!(received.header("cookie"), None, "{listener}");
        mesh.denies_at(listener, &Request::get("/"), 401, "session_required");
        mesh.passes_at(listener, &Request::get("/off/x"));
        mesh.passes_at(listener, &Request::new("POST", "/"));
    }
    mesh.expect_outcomes(&[
        ("allowed_total", 2),
        ("denied_no_session_total", 2),
        ("off_total", 2),
        ("anonymous_total", 2),
    ]);
}

/// Envoy's error output for a configuration that it must refuse.
#[track_caller]
fn refusal(configuration: &Value, packing: Packing) -> String {
    let listener = Listener { packing, ..Listener::new("main", configuration.clone()) };
    let output = validate(&listener, &[]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{configuration} was not refused:\n{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

#[test]
fn envoy_validation_accepts_a_valid_configuration() {
    let output = validate(&Listener::new("main", plugin(json!({}))), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_problem_is_reported_on_its_own_line() {
    let configuration = json!({
        "app": "my",
        "rest_sessions": {"cluster": "rest-sessions", "timeout": "61s", "retries": 4, "timout": "1s"},
        "rules": [
            {"match": {"paths": ["/a/*"]}, "session": "off"},
            {"match": {"paths": ["*.ico"]}, "session": "required"},
            {"match": {"methods": ["GET"]}, "session": "requierd"},
        ],
        "forward_token": "no",
        "write_back": {"on_failure": "allow"},
    });
    for packing in [Packing::Struct, Packing::Text] {
        let errors = refusal(&configuration, packing);
        for (path, found) in [
            ("app", "my"),
            ("rest_sessions.timeout", "61s"),
            ("rest_sessions.retries", "4"),
            ("rest_sessions.timout", "unknown"),
            ("rules[1].match.paths[0]", "*.ico"),
            ("rules[2].session", r#""requierd" is none of required, optional, off"#),
            ("forward_token", "no"),
            ("write_back.on_failure", "allow"),
        ] {
            let about: Vec<&str> = errors.lines().filter(|line| line.contains(&format!("{path}: "))).collect();
            assert!(
                about.iter().any(|line| line.contains(found)),
                "a line about {path} with {found} was expected:\n{errors}"
            );
        }
        assert!(!errors.contains("rules[0]"), "the first rule is valid, but is named:\n{errors}");
    }
}

#[test]
fn an_invalid_configuration_is_refused_naming_path_and_reason() {
    let rules = |rules: Value| plugin(json!({"rules": rules}));
    let cases: Vec<(&str, Value, &str)> = vec![
        ("an app is missing", json!({"rest_sessions": {"cluster": "c"}}), "app"),
        ("a cluster is missing", json!({"app": "mywebapp", "rest_sessions": {}}), "rest_sessions.cluster"),
        ("the service is missing", json!({"app": "mywebapp"}), "rest_sessions"),
        ("nothing is given", json!({}), "app"),
        (
            "an earlier rule hides a rule",
            rules(
                json!([{"name": "all", "session": "off"}, {"name": "never", "match": {"paths": ["/x"]}, "session": "required"}]),
            ),
            "never",
        ),
        ("a rule has no session mode", rules(json!([{"match": {"paths": ["/x"]}}])), "rules[0].session"),
        (
            "the default has a match",
            plugin(json!({"default": {"match": {"paths": ["/x"]}, "session": "off"}})),
            "default.match",
        ),
        (
            "a path has a pattern in its middle",
            rules(json!([{"match": {"paths": ["/a/*/b"]}, "session": "off"}])),
            "rules[0].match.paths[0]",
        ),
        (
            "a wildcard stands in a host",
            rules(json!([{"match": {"hosts": ["a.*.com"]}, "session": "off"}])),
            "rules[0].match.hosts[0]",
        ),
        (
            "an annotation uses a protected header",
            plugin(json!({"annotate": {"headers": {"cookie": "id"}}})),
            "annotate.headers",
        ),
        (
            "two annotations have one name",
            plugin(json!({"annotate": {"headers": {"x-user": "id", "x_user": "ip"}}})),
            "annotate.headers",
        ),
        ("a field is unknown", plugin(json!({"annotate": {"headers": {"x-user": "name"}}})), "annotate.headers"),
        ("a number has a fraction", plugin(json!({"annotate": {"max_bytes": 1.5}})), "annotate.max_bytes"),
        (
            "a duration is a number",
            json!({"app": "mywebapp", "rest_sessions": {"cluster": "c", "timeout": 500}}),
            "rest_sessions.timeout",
        ),
        (
            "a breaker is neither an object nor off",
            json!({"app": "mywebapp", "rest_sessions": {"cluster": "c", "breaker": "on"}}),
            r#"rest_sessions.breaker: found "on", expected an object or "off""#,
        ),
        (
            "a breaker opens for too long",
            json!({"app": "mywebapp", "rest_sessions": {"cluster": "c", "breaker": {"open_for": "2m"}}}),
            r#"rest_sessions.breaker.open_for: found "2m", expected a duration from 100ms to 1m"#,
        ),
        ("a cache has no ttl", plugin(json!({"cache": {"shared": false}})), "cache.ttl: is missing"),
        (
            "a cache is too small",
            plugin(json!({"cache": {"ttl": "5s", "max_bytes": 1024}})),
            "cache.max_bytes: found 1024, expected an integer from 65536 to 536870912",
        ),
        (
            "a staleness is a number",
            rules(json!([{"session": "required", "max_staleness": 0}])),
            "rules[0].max_staleness: found 0, expected a duration from 0ms to 30d",
        ),
        ("a source has two kinds", plugin(json!({"token_from": [{"cookie": "a", "header": "b"}]})), "token_from[0]"),
        (
            "an origin has a path",
            rules(json!([{"session": "required", "origins": ["https://a.example.com/x"]}])),
            "rules[0].origins[0]",
        ),
        ("a requirement list is empty", rules(json!([{"session": "required", "require": []}])), "rules[0].require"),
    ];
    for (case, configuration, place) in cases {
        println!("{case}");
        let errors = refusal(&configuration, Packing::Struct);
        assert!(errors.contains(place), "{case}: the error does not name {place}:\n{errors}");
    }
}

#[test]
fn a_string_that_is_no_json_object_is_refused() {
    for text in [json!("not an object"), json!([1, 2]), json!(null), json!(1)] {
        refusal(&text, Packing::Text);
    }
}

#[test]
fn a_new_configuration_takes_over_and_the_old_one_completes_its_pending_requests() {
    let (latch, stub) = held_service(|_| CalloutResponse::session());
    let discovered = |keys: Value| Listener { discovered: true, ..Listener::new("main", long_timeout(keys)) };
    let old = discovered(json!({"annotate": {"headers": {"x-old": "id"}}}));
    let mesh = Setup::default().listener(old).sessions(stub.address()).start();
    let request = Request::get("/").session(&token::fresh());
    let mut pending = mesh.begin(&request);
    stub.wait_for_calls(1);

    mesh.envoy.reconfigure(&discovered(json!({"default": {"session": "off"}})));
    wait::until("the new configuration to take over", || {
        let response = mesh.send(&Request::get("/"));
        (response.status == 200).then_some(())
    });
    latch.open();
    let received = mesh.upstream_request(&request, &pending.read(false));
    assert_eq!(received.header("x-old").as_deref(), Some("user123"));
    mesh.passes(&request);
    assert_eq!(stub.calls().len(), 1);
    assert_eq!(mesh.counter("in_flight"), 0);

    // A refused configuration leaves the current one in force.
    mesh.envoy.reconfigure(&discovered(json!({"default": {"session": "required"}, "forward_token": "no"})));
    wait::until("Envoy to refuse the bad configuration", || mesh.envoy.log().contains("forward_token: ").then_some(()));
    mesh.passes(&Request::get("/"));
}

/// The filter's gauges but the epoch, whose value has no meaning.
const GAUGES: [&str; 4] = ["in_flight", "cache_bytes", "cache_entries", "pending_bytes"];

#[test]
fn two_hundred_new_configurations_leave_every_gauge_where_it_was() {
    let (sessions, first, other) = (Stub::start(respond_to_anything), token::fresh(), token::fresh());
    let revision = |number: u32| {
        let keys = json!({
            "cache": {"ttl": "1h"},
            "logout": {"path": "/logout", "redirect": format!("/{number}")},
            "write_back": {},
        });
        Listener { discovered: true, ..Listener::new("main", plugin(keys)) }
    };
    let mesh = Setup::default().listener(revision(0)).sessions(sessions.address()).start();
    assert_eq!(GAUGES.map(|gauge| mesh.counter(gauge)), [0; 4], "no VM has had a request");
    let use_it = || {
        mesh.passes(&Request::get("/").session(&first));
        mesh.passes(&Request::get("/").session(&other));
        // An end raises the epoch.
        assert_eq!(mesh.send(&Request::new("POST", "/logout").session(&other)).status, 303);
    };
    use_it();
    let gauges = || GAUGES.map(|gauge| mesh.counter(gauge));
    wait::until_equal("the response to be over", &0, || mesh.counter("pending_bytes"));
    let before = gauges();
    assert_eq!((before[0], before[2], before[3]), (0, 1, 0), "{before:?}");
    let mut epoch = mesh.counter("ends_epoch");
    for number in 1..=200 {
        mesh.envoy.reconfigure(&revision(number));
        wait::until("the new configuration to take over", || {
            let response = mesh.send(&Request::new("POST", "/logout"));
            (response.header("location") == Some(format!("/{number}"))).then_some(())
        });
        use_it();
        let raised = mesh.counter("ends_epoch");
        assert!(raised > epoch, "the epoch went from {epoch} to {raised}");
        epoch = raised;
    }
    wait::until_equal("the gauges to be as before", &before, gauges);
}

/// A session for each lookup, and each kill is confirmed.
fn respond_to_anything(call: &Call) -> CalloutResponse {
    if call.method == "DELETE" { CalloutResponse::text(200, r#"{"kill":1}"#) } else { CalloutResponse::session() }
}

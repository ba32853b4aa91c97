//! Calls to the session service: what goes out, and what becomes of every way in which an answer can fail to come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::{Connection, Request};
use crate::harness::envoy::{Cluster, Listener};
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::{Answer, Call, Gate, Stub, session};
use crate::harness::token;

/// How a failed call is counted, and whether it is over in a second.
enum Failure {
    Outage(&'static str),
    BadAnswer(&'static str),
}

/// A rule for each fault, required and optional, each with a service of its own.
fn rules_for(faults: &[(&'static str, &'static str)]) -> Value {
    let rules: Vec<Value> = faults
        .iter()
        .flat_map(|(fault, cluster)| {
            ["required", "optional"].map(|session| {
                json!({
                    "match": {"paths": [format!("/{fault}/{session}")]},
                    "session": session,
                    // Enough for an answer of many megabytes, and soon over where none comes.
                    "rest_sessions": {"cluster": cluster, "path_prefix": format!("/{fault}"), "timeout": timeout_for(fault)},
                })
            })
        })
        .collect();
    plugin(json!({"rules": rules, "annotate": {"headers": {"x-session-user": "id", "x-session-status": "status"}}}))
}

fn timeout_for(fault: &str) -> &'static str {
    if matches!(fault, "silence" | "drip") { "300ms" } else { "10s" }
}

#[track_caller]
fn assert_fails(mesh: &Mesh, fault: &str, failure: &Failure) {
    println!("{fault}");
    let (retry_after, counter) = match failure {
        Failure::Outage(counter) => (Some("1"), counter),
        Failure::BadAnswer(counter) => (None, counter),
    };
    let before = mesh.counter(counter);
    let token = token::fresh();
    let denied = mesh.denies(&Request::get(&format!("/{fault}/required")).session(&token), 503, "sessions_unavailable");
    assert_eq!(denied.header("retry-after").as_deref(), retry_after, "{fault}");
    assert!(!denied.headers.iter().any(|(name, _)| name == "set-cookie"), "a session that may live is not ended");
    let seen = mesh.passes(&Request::get(&format!("/{fault}/optional")).session(&token));
    assert_eq!(seen.header("x-session-status").as_deref(), Some("unavailable"), "{fault}");
    assert_eq!(seen.header("x-session-user"), None, "{fault}");
    let counts = mesh.envoy.stats("call");
    assert_eq!(mesh.counter(counter), before + 2, "{counter} counts {fault}: {counts:?}");
}

#[test]
fn service_that_cannot_be_asked_is_an_outage() {
    let stub = Stub::knowing_everyone();
    let faults =
        [("no-such-cluster", "nowhere"), ("no-endpoints", "empty"), ("breaker-open", "full"), ("refused", "refused")];
    let mesh = Setup::new(rules_for(&faults))
        .sessions(stub.address())
        .cluster(Cluster::without_endpoints("empty"))
        .cluster(Cluster::with_open_breaker("full", stub.address()))
        .cluster(Cluster::refusing("refused"))
        .start();
    for fault in ["no-such-cluster", "no-endpoints", "breaker-open"] {
        assert_fails(&mesh, fault, &Failure::Outage("call_failures_dispatch_total"));
    }
    assert_fails(&mesh, "refused", &Failure::Outage("call_failures_connect_total"));
    assert!(stub.calls().is_empty());
    mesh.expect_outcomes(&[("denied_unavailable_total", 4), ("anonymous_total", 4)]);
    mesh.passes(&Request::get("/").session(&token::fresh()));
}

#[test]
fn service_that_gives_no_answer_is_an_outage() {
    let stub = Stub::start(|call| match call.path.split('/').nth(1).unwrap_or_default() {
        "silence" => Answer::Silence,
        "drip" => Answer::Drip,
        "reset" => Answer::ResetBeforeHeaders,
        "cut" => Answer::EndMidBody,
        "endless" => Answer::text(200, vec![b' '; 33 << 20]),
        _ => Answer::session(),
    });
    let faults = ["silence", "drip", "reset", "cut", "endless"].map(|fault| (fault, "rest-sessions"));
    let mesh = Setup::new(rules_for(&faults)).sessions(stub.address()).start();
    // An answer that began in time and did not end in time is cut off by Envoy, and looks like one that was reset.
    for (fault, counter) in [("silence", "call_failures_timeout_total"), ("drip", "call_failures_connect_total")] {
        let started = Instant::now();
        assert_fails(&mesh, fault, &Failure::Outage(counter));
        let took = started.elapsed();
        assert!(
            (Duration::from_millis(500)..Duration::from_secs(5)).contains(&took),
            "{fault} took {took:?}, twice 300ms"
        );
    }
    for fault in ["reset", "cut", "endless"] {
        assert_fails(&mesh, fault, &Failure::Outage("call_failures_connect_total"));
    }
    mesh.passes(&Request::get("/").session(&token::fresh()));
    mesh.expect_outcomes(&[("denied_unavailable_total", 5), ("anonymous_total", 5), ("allowed_total", 1)]);
}

#[test]
fn service_that_says_it_is_in_trouble_is_an_outage() {
    let faults = ["429", "500", "501", "502", "503", "504", "599"].map(|fault| (fault, "rest-sessions"));
    let stub = Stub::start(|call| {
        let status = call.path.split('/').nth(1).and_then(|status| status.parse().ok());
        status.map_or_else(Answer::session, |status| Answer::json(status, &session()))
    });
    let mesh = Setup::new(rules_for(&faults)).sessions(stub.address()).start();
    // A 504 of the service's own cannot be told from a timeout for certain; all the others can be told from a
    // connection that failed.
    for (fault, _) in faults.iter().filter(|(fault, _)| !matches!(*fault, "503" | "504")) {
        assert_fails(&mesh, fault, &Failure::Outage("call_failures_status_total"));
    }
    for fault in ["503", "504"] {
        let denied = mesh.denies(
            &Request::get(&format!("/{fault}/required")).session(&token::fresh()),
            503,
            "sessions_unavailable",
        );
        assert_eq!(denied.header("retry-after").as_deref(), Some("1"), "{fault}");
    }
    mesh.expect_outcomes(&[("denied_unavailable_total", 7), ("anonymous_total", 5)]);
}

#[test]
fn answer_of_the_wrong_shape_is_a_bad_answer_and_touches_no_other_session() {
    let bodies: Vec<(&'static str, String)> = vec![
        ("html", "<html></html>".to_owned()),
        ("empty", String::new()),
        ("cut", r#"{"id":"u","ttl":10"#.to_owned()),
        ("twice", r#"{"id":"u","ttl":10}{"id":"u","ttl":10}"#.to_owned()),
        ("array", r#"[{"id":"u","ttl":10}]"#.to_owned()),
        ("null", "null".to_owned()),
        ("text", r#""user123""#.to_owned()),
        ("no-id", r#"{"ttl":10}"#.to_owned()),
        ("no-ttl", r#"{"id":"u"}"#.to_owned()),
        ("empty-id", r#"{"id":"","ttl":10}"#.to_owned()),
        ("number-id", r#"{"id":1,"ttl":10}"#.to_owned()),
        ("text-ttl", r#"{"id":"u","ttl":"10"}"#.to_owned()),
        ("null-ttl", r#"{"id":"u","ttl":null}"#.to_owned()),
        ("text-r", r#"{"id":"u","ttl":10,"r":"1"}"#.to_owned()),
        ("text-idle", r#"{"id":"u","ttl":10,"idle":"1"}"#.to_owned()),
        ("number-ip", r#"{"id":"u","ttl":10,"ip":1}"#.to_owned()),
        ("text-no-resave", r#"{"id":"u","ttl":10,"no_resave":"true"}"#.to_owned()),
        ("list-d", r#"{"id":"u","ttl":10,"d":[]}"#.to_owned()),
        ("text-d", r#"{"id":"u","ttl":10,"d":"x"}"#.to_owned()),
        ("nested-d", r#"{"id":"u","ttl":10,"d":{"a":{"b":1}}}"#.to_owned()),
        ("list-in-d", r#"{"id":"u","ttl":10,"d":{"a":[1]}}"#.to_owned()),
        ("repeated-id", r#"{"id":"u","id":"admin","ttl":10}"#.to_owned()),
        ("repeated-key-of-d", r#"{"id":"u","ttl":10,"d":{"role":"guest","role":"admin"}}"#.to_owned()),
        ("repeated-by-escape", r#"{"id":"u","ttl":10,"d":{"role":"guest","r\u006fle":"admin"}}"#.to_owned()),
        ("not-utf-8", r#"{"id":"?","ttl":10}"#.to_owned()),
        ("over-256-kib", format!(r#"{{"id":"u","ttl":10,"d":{{"k":"{}"}}}}"#, "x".repeat(256 << 10))),
    ];
    let faults: Vec<_> = bodies.iter().map(|(name, _)| (*name, "rest-sessions")).collect();
    let count = faults.len() as u64;
    let answers = bodies.clone();
    let stub = Stub::start(move |call| {
        let fault = call.path.split('/').nth(1).unwrap_or_default();
        match answers.iter().find(|(name, _)| *name == fault) {
            Some(("not-utf-8", body)) => {
                Answer::text(200, body.bytes().map(|b| if b == b'?' { 0xff } else { b }).collect::<Vec<_>>())
            }
            Some((_, body)) => Answer::text(200, body.clone()),
            None => Answer::session(),
        }
    });
    let mesh = Setup::new(rules_for(&faults)).sessions(stub.address()).start();
    for (fault, _) in &bodies {
        assert_fails(&mesh, fault, &Failure::BadAnswer("call_failures_invalid_total"));
        mesh.passes(&Request::get("/").session(&token::fresh()));
    }
    mesh.expect_outcomes(&[("denied_unavailable_total", count), ("anonymous_total", count), ("allowed_total", count)]);
}

#[test]
fn status_that_rest_sessions_never_sends_is_a_bad_answer() {
    let statuses = ["201", "204", "301", "400", "401", "404", "413"];
    let stub = Stub::start(|call| {
        let status = call.path.split('/').nth(1).and_then(|status| status.parse().ok());
        match status {
            Some(204) => Answer::text(204, ""),
            Some(status) => Answer::json(status, &session()),
            None => Answer::session(),
        }
    });
    let mesh =
        Setup::new(rules_for(&statuses.map(|status| (status, "rest-sessions")))).sessions(stub.address()).start();
    for status in statuses {
        let request = Request::get(&format!("/{status}/required")).session(&token::fresh());
        let denied = mesh.denies(&request, 503, "sessions_unavailable");
        assert_eq!(denied.header("retry-after"), None, "{status}");
    }
    let failures = mesh.counter("call_failures_status_total") + mesh.counter("call_failures_invalid_total");
    assert_eq!(failures, statuses.len() as u64);
}

#[test]
fn large_answer_below_the_limit_is_read_whole() {
    let stub = Stub::start(|_| Answer::json(200, &json!({"id": "u", "ttl": 10, "d": {"k": "x".repeat(250 << 10)}})));
    let mesh = Setup::new(plugin(json!({"annotate": {"headers": {"x-id": "id"}}}))).sessions(stub.address()).start();
    assert_eq!(mesh.passes(&Request::get("/").session(&token::fresh())).header("x-id").as_deref(), Some("u"));
}

/// A service that answers the first calls of each kind by the fault, and all later ones with a session.
fn faulty_at_first(fault: fn(&Call) -> Answer, times: usize) -> Stub {
    let calls = AtomicUsize::new(0);
    Stub::start(move |call| if calls.fetch_add(1, Ordering::SeqCst) < times { fault(call) } else { Answer::session() })
}

fn retrying(retries: Option<u32>) -> Value {
    let mut keys = plugin(json!({}));
    if let Some(retries) = retries {
        keys["rest_sessions"]["retries"] = retries.into();
    }
    keys
}

#[test]
fn call_is_made_again_once_after_a_reset_connection() {
    let stub = faulty_at_first(|_| Answer::ResetBeforeHeaders, 1);
    let mesh = Setup::new(retrying(None)).sessions(stub.address()).start();
    let token = token::fresh();
    mesh.passes(&Request::get("/").session(&token));
    assert_eq!(stub.calls_for(&token).len(), 2);
    mesh.expect_counters(&[("calls_total", 1)]);
}

#[test]
fn call_is_made_again_no_more_often_than_the_configuration_says() {
    for (retries, calls) in [(None, 2), (Some(0), 1), (Some(3), 4)] {
        let stub = Stub::start(|_| Answer::ResetBeforeHeaders);
        let mesh = Setup::new(retrying(retries)).sessions(stub.address()).start();
        mesh.denies(&Request::get("/").session(&token::fresh()), 503, "sessions_unavailable");
        assert_eq!(stub.calls().len(), calls, "with retries {retries:?}");
        mesh.expect_counters(&[("calls_total", 1), ("call_failures_connect_total", 1)]);
    }
}

#[test]
fn call_is_not_made_again_after_an_answer() {
    let stub = Stub::start(|call| match call.path.split('/').nth(1) {
        Some("500") => Answer::text(500, "{}"),
        Some("503") => Answer::text(503, "{}"),
        Some("junk") => Answer::text(200, "junk"),
        _ => Answer::none(),
    });
    let faults = ["500", "503", "junk"].map(|fault| (fault, "rest-sessions"));
    let mesh = Setup::new(rules_for(&faults)).sessions(stub.address()).start();
    for (fault, _) in faults {
        let token = token::fresh();
        mesh.denies(&Request::get(&format!("/{fault}/required")).session(&token), 503, "sessions_unavailable");
        stub.only_call_for(&token);
    }
    let token = token::fresh();
    mesh.denies(&Request::get("/").session(&token), 401, "session_required");
    stub.only_call_for(&token);
}

#[test]
fn call_beyond_max_in_flight_is_refused_at_once_and_is_no_outage() {
    let gate = Gate::default();
    let held = gate.clone();
    let stub = Stub::start(move |_| Answer::After(held.clone(), Box::new(Answer::session())));
    let mut keys = plugin(json!({
        "failure_mode": "allow",
        "rules": [{"match": {"paths": ["/optional"]}, "session": "optional"}],
        "annotate": {"headers": {"x-session-user": "id", "x-session-status": "status"}},
    }));
    keys["rest_sessions"]["max_in_flight"] = 2.into();
    keys["rest_sessions"]["timeout"] = "15s".into();
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let mut waiting: Vec<Connection> =
        (0..2).map(|_| mesh.begin(&Request::get("/").session(&token::fresh()))).collect();
    stub.wait_for_calls(2);
    assert_eq!(mesh.counter("in_flight"), 2);

    let denied = mesh.denies(&Request::get("/").session(&token::fresh()), 503, "sessions_busy");
    assert_eq!(denied.header("retry-after").as_deref(), Some("1"));
    let seen = mesh.passes(&Request::get("/optional").session(&token::fresh()));
    assert_eq!(seen.header("x-session-status").as_deref(), Some("unavailable"));
    assert_eq!(stub.calls().len(), 2);

    gate.open();
    for connection in &mut waiting {
        assert_eq!(connection.read(false).status, 200);
    }
    mesh.passes(&Request::get("/").session(&token::fresh()));
    assert_eq!(mesh.counter("in_flight"), 0);
    mesh.expect_outcomes(&[("allowed_total", 3), ("denied_busy_total", 1), ("anonymous_total", 1)]);
    mesh.expect_counters(&[("calls_total", 3)]);
}

#[test]
fn call_says_what_is_needed_and_nothing_else_of_the_request() {
    let stub = Stub::knowing_everyone();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let token = token::fresh();
    let traced = [
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "vendor=value,other=1"),
        ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
        ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
        ("x-b3-spanid", "e457b5a2e4d86bd1"),
        ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
        ("x-b3-sampled", "1"),
        ("x-b3-flags", "0"),
    ];
    let request = traced
        .iter()
        .fold(Request::new("POST", "/cart?item=secret"), |request, (name, value)| request.header(*name, *value));
    let request = request
        .session(&token)
        .header("cookie", "other=secret")
        .header("authorization", "Basic secret")
        .header("user-agent", "secret")
        .header("accept", "text/secret")
        .header("x-b3-other", "secret")
        .header("x-forwarded-for", "192.0.2.1")
        .header("origin", "http://secret.example.com")
        .body("secret");
    let seen = mesh.passes(&request);
    let call = stub.only_call_for(&token);
    assert_eq!((call.method.as_str(), call.path), ("GET", format!("/mywebapp/get/{token}")));
    for (name, value) in traced {
        assert_eq!(call.headers.iter().filter(|(found, _)| found == name).count(), 1, "{name}");
        assert!(call.headers.contains(&(name.to_owned(), value.into())), "{name}");
    }
    let id = |values: Vec<String>| values.into_iter().next().expect("Envoy gives every request an id");
    assert_eq!(id(call_values(&call.headers, "x-request-id")), id(seen.values("x-request-id")));
    // The rest is the same for every request, or added by Envoy itself.
    let harmless = [
        "accept",
        "host",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-envoy-internal",
        "x-envoy-expected-rq-timeout-ms",
        "content-length",
    ];
    for (name, value) in &call.headers {
        let known = harmless.contains(&name.as_str()) || traced.iter().any(|(traced, _)| traced == name);
        assert!(known, "{name} went to the session service");
        assert!(!value.windows(6).any(|window| window == b"secret"), "{name} went to the session service");
    }
    assert!(!call_values(&call.headers, "x-forwarded-for").join(",").contains("192.0.2.1"));
}

fn call_values(headers: &[(String, Vec<u8>)], name: &str) -> Vec<String> {
    headers
        .iter()
        .filter(|(found, _)| found == name)
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

#[test]
fn trace_header_is_left_out_where_it_is_too_long_repeated_or_no_visible_ascii() {
    let stub = Stub::knowing_everyone();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let limits = [
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
    let copied = |value: &dyn Fn(usize) -> Vec<Vec<u8>>| {
        let token = token::fresh();
        let mut request = Request::get("/").session(&token);
        for (name, limit) in limits {
            for value in value(limit) {
                request = request.header(name, value);
            }
        }
        mesh.passes(&request);
        let call = stub.only_call_for(&token);
        limits.iter().filter(|(name, _)| !call.values(name).is_empty()).map(|(name, _)| *name).collect::<Vec<_>>()
    };
    assert_eq!(copied(&|limit| vec![vec![b'a'; limit]]), limits.map(|(name, _)| name), "just short enough");
    assert_eq!(copied(&|limit| vec![vec![b'a'; limit + 1]]), [""; 0], "one byte too long");
    assert_eq!(copied(&|_| vec![b"caf\xc3\xa9".to_vec()]), [""; 0], "above ASCII");
    assert_eq!(copied(&|_| vec![b"a\tb".to_vec()]), [""; 0], "a control character");
    // Envoy itself replaces a request id that stands twice by one of its own.
    let repeated = copied(&|_| vec![b"a".to_vec(), b"b".to_vec()]);
    assert!(repeated.iter().all(|name| *name == "x-request-id"), "repeated: {repeated:?}");
}

#[test]
fn authority_is_the_last_part_of_the_clusters_name_unless_it_is_given() {
    const OF_ISTIO: &str = "outbound|3000||rest-sessions.default.svc.cluster.local";
    let stub = Stub::knowing_everyone();
    let mut istio = plugin(json!({}));
    istio["rest_sessions"]["cluster"] = OF_ISTIO.into();
    let mut given = istio.clone();
    given["rest_sessions"]["authority"] = "example.com".into();
    given["rest_sessions"]["path_prefix"] = "/path/to/rest-sessions".into();
    let mesh = Setup::default()
        .listener(Listener::new("plain", plugin(json!({}))))
        .listener(Listener::new("istio", istio))
        .listener(Listener::new("given", given))
        .cluster(Cluster::new(OF_ISTIO, stub.address()))
        .sessions(stub.address())
        .start();
    for (listener, authority, prefix) in [
        ("plain", "rest-sessions", ""),
        ("istio", "rest-sessions.default.svc.cluster.local", ""),
        ("given", "example.com", "/path/to/rest-sessions"),
    ] {
        let token = token::fresh();
        mesh.passes_at(listener, &Request::get("/").session(&token));
        let call = stub.only_call_for(&token);
        assert_eq!(call.values("host"), [authority]);
        assert_eq!(call.path, format!("{prefix}/mywebapp/get/{token}"));
    }
}

#[test]
fn client_that_leaves_before_the_answer_is_counted_and_harms_nobody() {
    let gate = Gate::default();
    let held = gate.clone();
    let stub = Stub::start(move |_| Answer::After(held.clone(), Box::new(Answer::session())));
    let mut keys = plugin(json!({}));
    keys["rest_sessions"]["timeout"] = "15s".into();
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let leavers: Vec<Connection> = (0..5).map(|_| mesh.begin(&Request::get("/").session(&token::fresh()))).collect();
    let mut stayer = mesh.begin(&Request::get("/").session(&token::fresh()));
    stub.wait_for_calls(6);
    drop(leavers);
    mesh.expect_outcomes(&[("abandoned_total", 5)]);

    gate.open();
    assert_eq!(stayer.read(false).status, 200);
    mesh.passes(&Request::get("/").session(&token::fresh()));
    mesh.expect_outcomes(&[("abandoned_total", 5), ("allowed_total", 2)]);
    mesh.expect_counters(&[("calls_total", 7)]);
    assert_eq!(mesh.counter("in_flight"), 0);
    assert_eq!(mesh.upstream.count(), 2);
}

#[test]
fn each_of_many_requests_at_once_gets_the_answer_to_its_own_call() {
    let gate = Gate::default();
    let held = gate.clone();
    let stub = Stub::start(move |call| {
        let session = json!({"id": call.token(), "ttl": 7200});
        Answer::After(held.clone(), Box::new(Answer::json(200, &session)))
    });
    let mut keys = plugin(json!({}));
    keys["rest_sessions"]["timeout"] = "15s".into();
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let mut waiting: Vec<(String, Request, Connection)> = (0..64)
        .map(|_| {
            let token = token::fresh();
            let request = Request::get("/").session(&token);
            let connection = mesh.begin(&request);
            (token, request, connection)
        })
        .collect();
    stub.wait_for_calls(64);
    gate.open();
    for (token, request, connection) in &mut waiting {
        let response = connection.read(false);
        assert_eq!(mesh.seen_for(request, &response).header("x-session-user").as_ref(), Some(&*token));
    }
    mesh.expect_outcomes(&[("allowed_total", 64)]);
}

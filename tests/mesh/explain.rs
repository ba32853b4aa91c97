//! `session-filter explain` compared with the filter in a real Envoy, request by request. Both run the same core, so a
//! difference is in how the command and the shell drive it.

mod cases;

use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::sync::{Arc, Mutex};

use cases::{Case, Random};
use serde_json::{Value, json};
use session_filter::explain::{AssumedSession, Outcome, ReplySummary, UpstreamSummary};

use crate::harness::envoy::Listener;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::{CalloutResponse, Stub};
use crate::harness::upstream::UpstreamRequest;
use crate::setup::extended;
use test_support::http1::{Request, Response};
use test_support::process::program_beside;
use test_support::wait;

/// The number of random requests to each listener.
const REQUESTS: usize = 300;

/// The access log format: the number of the request, and its filter state.
const STATE: &str = "%REQ(X-CASE)%|%FILTER_STATE(wasm.rest_sessions.decision:PLAIN)%|\
    %FILTER_STATE(wasm.rest_sessions.reason:PLAIN)%|%FILTER_STATE(wasm.rest_sessions.rule:PLAIN)%|\
    %FILTER_STATE(wasm.rest_sessions.user:PLAIN)%|%FILTER_STATE(wasm.rest_sessions.source:PLAIN)%";

const ANNOTATED: [&str; 6] =
    ["x-session-user", "x-session-data", "x-session-status", "x-session-role", "x-session-ttl", "x-session-ip"];

/// A configuration that uses every feature.
fn full_configuration(keys: Value) -> Value {
    let configuration = json!({
        "rest_sessions": {"cluster": "rest-sessions", "timeout": "5s", "breaker": "off"},
        "token_from": [{"cookie": "session-cookie"}, {"header": "authorization", "prefix": "Bearer "}, {"query": "t"}],
        "annotate": {"headers": {"x-session-user": "id", "x-session-data": "d", "x-session-status": "status",
            "x-session-role": "d.role", "x-session-ttl": "ttl", "x-session-ip": "ip"}, "max_bytes": 600},
        "filter_state": true,
        "limits": {"idle": "30m", "age": "12h"},
        "login": {"url": "https://login.example.com/?next={url}"},
        "logout": {"path": "/logout", "methods": ["POST", "GET"], "redirect": "/bye"},
        "cookie": {"path": "/", "same_site": "Strict", "domain": "example.com"},
        "rules": [
            {"name": "assets", "match": {"paths": ["/static/*", "/favicon.ico"], "methods": ["GET"]}, "session": "off"},
            {"name": "home", "match": {"paths": ["/", "/products/*", "/login"]}, "session": "optional"},
            {"name": "bye", "match": {"paths": ["/logout"], "methods": ["POST"]}, "session": "off",
             "origins": ["https://app.example.com"]},
            {"name": "admin", "match": {"hosts": ["admin.example.com"]}, "session": "required", "app": "backoffice",
             "require": [{"field": "d.role", "one_of": ["admin", "owner"]}], "origins": []},
            {"name": "pay", "match": {"paths": ["/pay/*"]}, "session": "required", "on_forbidden": "login",
             "require": [{"field": "d.auth_time", "within": "10m"}, {"field": "ip", "is_client": true}]},
            {"name": "open", "match": {"paths": ["/open/*"]}, "session": "required", "failure_mode": "allow",
             "login": "off"},
            {"name": "api", "match": {"paths": ["/api/*"]}, "session": "required", "login": "off",
             "token_from": [{"query": "t", "any": true}, {"header": "x-api-token"}],
             "origins": ["https://app.example.com"]},
            {"name": "trial", "match": {"paths": ["/trial/*"]}, "session": "required", "shadow": true},
            {"match": {"paths": ["/live"], "methods": ["GET", "POST"]}, "session": "required", "recheck": "30s",
             "origins": ["https://app.example.com"]},
        ],
        "default": {"session": "required"},
    });
    plugin(extended(configuration, keys))
}

/// The sessions of the stub, by token.
#[derive(Clone, Default)]
struct KnownSessions(Arc<Mutex<HashMap<String, AssumedSession>>>);

impl KnownSessions {
    fn stub(&self) -> Stub {
        let known = self.clone();
        Stub::start(move |call| {
            let assumed = known.0.lock().unwrap().get(call.token()).cloned().unwrap_or(AssumedSession::None);
            match (call.method.as_str(), assumed) {
                (_, AssumedSession::Unavailable) => CalloutResponse::text(500, "away"),
                ("DELETE", AssumedSession::Active(_)) => CalloutResponse::text(200, "{\"kill\":1}"),
                ("DELETE", AssumedSession::None) => CalloutResponse::text(200, "{\"kill\":0}"),
                (_, AssumedSession::Active(session)) => CalloutResponse::text(200, session),
                (_, AssumedSession::None) => CalloutResponse::none(),
            }
        })
    }
}

#[track_caller]
fn assert_replied(case: &Case, reply: &ReplySummary, response: &Response, context: &str) {
    let is_grpc = case.headers.iter().any(|(_, value)| value == "application/grpc");
    if is_grpc {
        assert_eq!(response.status, 200, "{context}");
        if let Some(status) = reply.grpc_status {
            assert_eq!(response.header("grpc-status"), Some(status.to_string()), "{context}");
        }
        return;
    }
    assert_eq!(response.status, reply.status, "{context}");
    let body = if case.method == "HEAD" { "" } else { &reply.body };
    assert_eq!(response.text(), body, "{context}");
    // Headers of the connection, and those that Envoy adds to every response.
    let mut found = response.lasting_headers();
    found.retain(|(name, _)| !["server", "content-length", "transfer-encoding", "connection"].contains(&name.as_str()));
    let mut found: Vec<_> = found.into_iter().map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect();
    let mut expected = reply.headers.clone();
    found.sort();
    expected.sort();
    // Envoy adds a content type to a local reply without a body.
    if reply.body.is_empty() {
        found.retain(|(name, _)| name != "content-type");
    }
    assert_eq!(found, expected, "{context}");
}

#[track_caller]
fn assert_passed(case: &Case, upstream: &UpstreamSummary, received: &UpstreamRequest, context: &str) {
    for name in ANNOTATED {
        let set = upstream.headers.iter().filter(|(set, _)| set == name).map(|(_, value)| value.clone());
        assert_eq!(received.values(name), set.collect::<Vec<_>>(), "{name}\n{context}");
    }
    for name in &upstream.removed {
        assert_eq!(received.values(name), [""; 0], "{name}\n{context}");
    }
    for name in ["cookie", "authorization", "x-api-token"] {
        let sent: Vec<String> =
            case.headers.iter().filter(|(sent, _)| sent == name).map(|(_, value)| value.clone()).collect();
        if upstream.shortened.iter().any(|shortened| shortened == name) {
            assert_ne!(received.values(name), sent, "{name}\n{context}");
        } else if !upstream.removed.iter().any(|removed| removed == name) {
            assert_eq!(received.values(name), sent, "{name}\n{context}");
        }
    }
    let is_shortened = upstream.shortened.iter().any(|shortened| shortened == ":path");
    assert_eq!(received.target == case.target, !is_shortened, "{}\n{context}", received.target);
}

fn state_of(number: usize, outcome: &Outcome) -> String {
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let Outcome { decision, reason, rule, user, source, .. } = outcome;
    format!("{number}|{decision}|{reason}|{}|{}|{}", or_none(rule), or_none(user), or_none(source))
}

/// Sends random requests to a listener and compares each response with its explanation. Returns the counters that the
/// explanations name.
fn compare(
    mesh: &Mesh,
    listener: &'static str,
    config: &Value,
    known: &KnownSessions,
    seed: u64,
) -> BTreeMap<String, u64> {
    let mut random = Random(seed);
    let mut counts = BTreeMap::new();
    let mut states = Vec::new();
    let mut statuses = BTreeMap::new();
    for number in 0..REQUESTS {
        let case = Case::new(&mut random, number);
        known.0.lock().unwrap().extend(case.sessions.clone());
        let request = case.request();
        let response = mesh.send_at(listener, &request);
        let explanation = case.explain(config);
        let [outcome] = explanation.outcomes.as_slice() else { panic!("one outcome was expected: {explanation:#?}") };
        let context =
            format!("request {number} of {listener}:\n{request}{:?}\n{explanation}\n{response:?}", case.sessions);
        match (&outcome.answer, &outcome.upstream) {
            (Some(reply), None) => assert_replied(&case, reply, &response, &context),
            (None, Some(upstream)) => {
                assert!(response.status == 200 || response.status == 101, "{context}");
                assert_passed(&case, upstream, &mesh.upstream_request(&request, &response), &context);
            }
            _ => panic!("either a local reply or an upstream was expected\n{context}"),
        }
        assert_eq!(explanation.rule.as_ref().map(|rule| &rule.label), outcome.rule.as_ref(), "{context}");
        *counts.entry(outcome.counter.trim_start_matches("rest_sessions.").to_owned()).or_default() += 1;
        *statuses.entry(response.status).or_insert(0) += 1;
        // A shadow request may end before its outcome is known.
        if !explanation.rule.as_ref().is_some_and(|rule| rule.shadow) {
            states.push(state_of(number, outcome));
        }
    }
    println!("{listener}: {statuses:?} {counts:?}");
    wait::until("the access log of every request", || {
        let log = mesh.envoy.access_log(listener);
        states.iter().all(|state| log.contains(state)).then_some(()).or_else(|| {
            // Printed for the case that the time runs out.
            println!("{:?}", states.iter().find(|state| !log.contains(state)));
            None
        })
    });
    counts
}

#[test]
fn each_explanation_equals_the_filters_decision_in_envoy() {
    let known = KnownSessions::default();
    let stub = known.stub();
    let hosts = json!(["shop.example.com", "*.shop.example.com", "admin.example.com"]);
    let closed = full_configuration(json!({"hosts": hosts, "forward_token": false}));
    let open = full_configuration(json!({"path_case": "exact", "cors_preflight": "pass"}));
    let listener = |name, plugin: &Value| Listener { access_log: Some(STATE), ..Listener::new(name, plugin.clone()) };
    let mesh = Setup::default()
        .listener(listener("closed", &closed))
        .listener(listener("open", &open))
        .sessions(stub.address())
        .start();
    let mut counts = compare(&mesh, "closed", &closed, &known, 1);
    for (counter, count) in compare(&mesh, "open", &open, &known, 2) {
        *counts.entry(counter).or_default() += count;
    }
    assert!(counts.len() >= 16, "at least 16 kinds of outcomes were expected: {counts:?}");
    let counts: Vec<(&str, u64)> = counts.iter().map(|(counter, count)| (counter.as_str(), *count)).collect();
    mesh.expect_outcomes(&counts);
}

#[test]
fn the_explain_command_prints_envoys_status_and_location() {
    let stub = Stub::with_active_session();
    let config = full_configuration(json!({"hosts": ["shop.example.com"]}));
    let mesh = Setup::new(config.clone()).sessions(stub.address()).start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    for (method, target, navigates) in
        [("GET", "/account", true), ("GET", "/account", false), ("POST", "/", false), ("GET", "/%2e%2e/", false)]
    {
        let mut command = Command::new(program_beside("session-filter"));
        command
            .args(["explain", "--json", "--request", &format!("{method} http://shop.example.com{target}")])
            .arg(&file);
        let mut request = Request::new(method, target);
        if navigates {
            command.args(["--header", "accept: text/html"]);
            request = request.header("accept", "text/html");
        }
        let output = command.output().unwrap();
        let explanation: Value = serde_json::from_slice(&output.stdout).unwrap();
        let response = mesh.send(&request);
        let status = &explanation["outcomes"][0]["answer"]["status"];
        assert_eq!(status.as_u64().unwrap_or(200), u64::from(response.status), "{explanation:#}");
        let location = explanation["outcomes"][0]["answer"]["headers"].as_array().into_iter().flatten();
        let location = location.filter(|header| header[0] == "location").map(|header| header[1].as_str().unwrap());
        assert_eq!(
            location.collect::<Vec<_>>(),
            response.header("location").iter().collect::<Vec<_>>(),
            "{explanation:#}"
        );
    }
}

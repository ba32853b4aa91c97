//! What `session-filter explain` says, held against what the filter does in a real Envoy, request by request. Both are
//! made of the same code, so what this finds is where the command drives it in another way than the shell does.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rest_sessions_filter::config::Config;
use serde_json::{Value, json};
use session_filter::explain::{self, AnswerShown, Assumed, Explanation, Outcome, Question, Upstream, explain};

use crate::harness::client::{Request, Response};
use crate::harness::envoy::Listener;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::process::program_beside;
use crate::harness::stub::{Answer, Stub};
use crate::harness::token;
use crate::harness::upstream::Seen;
use crate::harness::wait;

/// How many requests are made up for each listener.
const REQUESTS: usize = 300;

/// One line a request: which one it was, and the filter state.
const STATE: &str = "%REQ(X-CASE)%|%FILTER_STATE(wasm.rest_sessions.decision:PLAIN)%|\
    %FILTER_STATE(wasm.rest_sessions.reason:PLAIN)%|%FILTER_STATE(wasm.rest_sessions.rule:PLAIN)%|\
    %FILTER_STATE(wasm.rest_sessions.user:PLAIN)%|%FILTER_STATE(wasm.rest_sessions.source:PLAIN)%";

const ANNOTATED: [&str; 6] =
    ["x-session-user", "x-session-data", "x-session-status", "x-session-role", "x-session-ttl", "x-session-ip"];

/// With all that a configuration can ask for.
fn rich(keys: Value) -> Value {
    let mut rich = json!({
        "rest_sessions": {"cluster": "rest-sessions", "timeout": "5s", "breaker": "off"},
        "token_from": [{"cookie": "session-cookie"}, {"header": "authorization", "prefix": "Bearer "}, {"query": "t"}],
        "annotate": {"headers": {"x-session-user": "id", "x-session-data": "d", "x-session-status": "status",
            "x-session-role": "d.role", "x-session-ttl": "ttl", "x-session-ip": "ip"}, "max_bytes": 600},
        "filter_state": true,
        "limits": {"idle": "30m", "age": "12h"},
        "login": {"url": "https://login.example.com/?next={url}"},
        "logout": {"path": "/logout", "methods": ["POST", "GET"], "redirect": "/bye",
            "cookie": {"path": "/", "same_site": "Strict", "domain": "example.com"}},
        "rules": [
            {"name": "assets", "match": {"paths": ["/static/*", "/favicon.ico"], "methods": ["GET"]}, "session": "off"},
            {"name": "home", "match": {"paths": ["/", "/products/*", "/login"]}, "session": "optional"},
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
    rich.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    plugin(rich)
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % sides
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.roll(all.len())]
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }
}

/// A request that was made up, with what rest-sessions knows of its tokens.
struct Case {
    method: String,
    host: String,
    target: String,
    headers: Vec<(String, String)>,
    token: String,
    assumed: Assumed,
}

impl Case {
    fn made_up(dice: &mut Dice, number: usize) -> Self {
        let token = match dice.roll(10) {
            0 => token::aged(Duration::from_secs(13 * 3600)),
            1 => token::aged(Duration::from_secs(11 * 3600)),
            _ => token::fresh(),
        };
        let host = (*dice.pick(&HOSTS)).to_owned();
        let mut case = Self {
            method: (*dice.pick(&METHODS)).to_owned(),
            target: target(dice, &token),
            headers: vec![("x-case".to_owned(), number.to_string())],
            assumed: assumed(dice),
            host,
            token,
        };
        case.add_tokens(dice);
        case.add_signs_of_browsers(dice);
        case.add_forgeries(dice);
        case
    }

    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    fn add_tokens(&mut self, dice: &mut Dice) {
        let token = self.token.clone();
        match dice.roll(12) {
            0..4 => self.add("cookie", format!("a=1; session-cookie={token}; b=2")),
            4 => self.add("cookie", format!("session-cookie=\"{token}\"")),
            5 => self.add("cookie", format!("session-cookie={token}; session-cookie={}", token::fresh())),
            6 => self.add("cookie", format!("session-cookie={}; Session-Cookie={token}", &token[1..])),
            7 => {
                self.add("cookie", "session-cookie=junk");
                self.add("authorization", format!("bearer {token}"));
            }
            8 => self.add("authorization", format!("Basic {token}")),
            9 => self.add("x-api-token", token),
            _ => {}
        }
    }

    fn add_signs_of_browsers(&mut self, dice: &mut Dice) {
        match dice.roll(6) {
            0 => self.add("sec-fetch-mode", *dice.pick(&["navigate", "cors"])),
            1 => self.add("accept", *dice.pick(&["text/html,*/*;q=0.8", "application/json"])),
            2 => {
                self.add("accept", "text/html");
                self.add("x-requested-with", "XMLHttpRequest");
            }
            _ => {}
        }
        if dice.once_in(3) {
            let own = format!("http://{}", self.host);
            self.add(
                "origin",
                *dice.pick(&[own.as_str(), "https://app.example.com", "https://evil.example.org", "null"]),
            );
        }
        if dice.once_in(6) {
            self.add("sec-fetch-site", *dice.pick(&["cross-site", "same-origin", "none"]));
        }
        if self.method == "OPTIONS" && !dice.once_in(3) {
            self.add("access-control-request-method", "PUT");
        }
        if self.method == "GET" && dice.once_in(8) {
            self.add("connection", "Upgrade");
            self.add("upgrade", "websocket");
            self.add("sec-websocket-version", "13");
            self.add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        } else if self.method == "POST" && dice.once_in(6) {
            self.add("content-type", "application/grpc");
        }
    }

    fn add_forgeries(&mut self, dice: &mut Dice) {
        if dice.once_in(4) {
            let name =
                *dice.pick(&["x-session-user", "X-Session.Role", "x-session-data", "x-rewrite-url", "x-session-kill"]);
            self.add(name, "forged");
        }
        if dice.once_in(8) {
            self.add("x-forwarded-proto", *dice.pick(&["https", "http", "ftp"]));
        }
    }

    fn request(&self) -> Request {
        let request = Request::new(&self.method, &self.target).host(&self.host);
        self.headers.iter().fold(request, |request, (name, value)| request.header(name.as_bytes(), value.as_bytes()))
    }

    fn asked(&self) -> explain::Request {
        explain::Request {
            method: self.method.clone(),
            scheme: "http".to_owned(),
            authority: self.host.clone(),
            target: self.target.clone(),
            headers: self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect(),
        }
    }

    fn explained(&self, config: &Value) -> Explanation {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let question = Question {
            request: self.asked(),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            now_ms: now.as_millis().try_into().unwrap(),
            assumed: Some(self.assumed.clone()),
        };
        explain(Config::parse(config.to_string().as_bytes()).unwrap(), &question).unwrap()
    }
}

const METHODS: [&str; 12] =
    ["GET", "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS", "OPTIONS", "PATCH"];

const HOSTS: [&str; 12] = [
    "shop.example.com",
    "shop.example.com",
    "shop.example.com",
    "shop.example.com",
    "SHOP.Example.com:8080",
    "eu.shop.example.com",
    "shop.example.com.",
    "admin.example.com",
    "admin.example.com:80",
    "evil.example.org",
    "shop..example.com",
    "127.0.0.1:8080",
];

const PATHS: [&str; 19] = [
    "/",
    "/account",
    "/static/app.css",
    "/STATIC/App.css",
    "/favicon.ico",
    "/products/1",
    "/login",
    "/users",
    "/pay/now",
    "/pay",
    "/open/door",
    "/api/v1/things",
    "/API/v1",
    "/trial/a",
    "/live",
    "/live/",
    "/logout",
    "/Logout/",
    "/logout/all",
];

const SEGMENTS: [&str; 27] = [
    "static",
    "static",
    "api",
    "trial",
    "products",
    "logout",
    "a",
    "%73tatic",
    "%61pi",
    ".%2e",
    "..",
    ".",
    "x;y",
    "static;v=1",
    "a%2fb",
    "%2fapi",
    "a%20b",
    "%25",
    "%2561pi",
    "%",
    "%zz",
    "%00",
    "%c0%af",
    "",
    "a%5c..%5cb",
    "~u",
    "%3fa",
];

fn target(dice: &mut Dice, token: &str) -> String {
    let mut target = if dice.once_in(3) {
        let segments: Vec<&str> = (0..=dice.roll(3)).map(|_| *dice.pick(&SEGMENTS)).collect();
        format!("/{}", segments.join("/"))
    } else {
        (*dice.pick(&PATHS)).to_owned()
    };
    match dice.roll(8) {
        0 => target.push_str("?x=1"),
        1 | 2 => target.push_str(&format!("?t={token}&x=a%20b")),
        3 => target.push_str("?t=junk"),
        _ => {}
    }
    target
}

fn assumed(dice: &mut Dice) -> Assumed {
    match dice.roll(8) {
        0 => return Assumed::None,
        1 => return Assumed::Unavailable,
        _ => {}
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let data = match dice.roll(6) {
        0 => json!({"role": "admin", "auth_time": now - 60}),
        1 => json!({"role": "owner", "auth_time": now - 3600}),
        2 => json!({"role": "member", "n": 1.5, "beta": true}),
        3 => json!({"role": "Zoë \"x\" 100%\n"}),
        4 => json!({"blob": "long words ".repeat(60)}),
        _ => Value::Null,
    };
    let mut session = json!({"id": *dice.pick(&["u1", "Zoë", "a b%"]), "ttl": 7200, "r": 1, "w": 1});
    session["idle"] = (*dice.pick(&[0, 3, 1801])).into();
    session["ip"] = (*dice.pick(&["127.0.0.1", "::ffff:127.0.0.1", "192.0.2.1"])).into();
    if !data.is_null() {
        session["d"] = data;
    }
    Assumed::Active(session.to_string())
}

/// What rest-sessions knows, by token.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<HashMap<String, Assumed>>>);

impl Known {
    fn stub(&self) -> Stub {
        let known = self.clone();
        Stub::start(move |call| {
            let assumed = known.0.lock().unwrap().get(call.token()).cloned().unwrap_or(Assumed::None);
            match (call.method.as_str(), assumed) {
                (_, Assumed::Unavailable) => Answer::text(500, "away"),
                ("DELETE", Assumed::Active(_)) => Answer::text(200, "{\"kill\":1}"),
                ("DELETE", Assumed::None) => Answer::text(200, "{\"kill\":0}"),
                (_, Assumed::Active(session)) => Answer::text(200, session),
                (_, Assumed::None) => Answer::none(),
            }
        })
    }
}

#[track_caller]
fn assert_answered(case: &Case, answer: &AnswerShown, response: &Response, context: &str) {
    let is_grpc = case.headers.iter().any(|(_, value)| value == "application/grpc");
    if is_grpc {
        assert_eq!(response.status, 200, "{context}");
        if let Some(status) = answer.grpc_status {
            assert_eq!(response.header("grpc-status"), Some(status.to_string()), "{context}");
        }
        return;
    }
    assert_eq!(response.status, answer.status, "{context}");
    let body = if case.method == "HEAD" { "" } else { &answer.body };
    assert_eq!(response.text(), body, "{context}");
    // Of the connection, or told by Envoy of every answer.
    let mut found = response.lasting_headers();
    found.retain(|(name, _)| !["server", "content-length", "transfer-encoding", "connection"].contains(&name.as_str()));
    let mut found: Vec<_> = found.into_iter().map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect();
    let mut expected = answer.headers.clone();
    found.sort();
    expected.sort();
    // An answer without a body needs no type, and Envoy gives it one.
    if answer.body.is_empty() {
        found.retain(|(name, _)| name != "content-type");
    }
    assert_eq!(found, expected, "{context}");
}

#[track_caller]
fn assert_passed(case: &Case, upstream: &Upstream, seen: &Seen, context: &str) {
    for name in ANNOTATED {
        let set = upstream.headers.iter().filter(|(set, _)| set == name).map(|(_, value)| value.clone());
        assert_eq!(seen.values(name), set.collect::<Vec<_>>(), "{name}\n{context}");
    }
    for name in &upstream.removed {
        assert_eq!(seen.values(name), [""; 0], "{name}\n{context}");
    }
    for name in ["cookie", "authorization", "x-api-token"] {
        let sent: Vec<String> =
            case.headers.iter().filter(|(sent, _)| sent == name).map(|(_, value)| value.clone()).collect();
        if upstream.shortened.iter().any(|shortened| shortened == name) {
            assert_ne!(seen.values(name), sent, "{name}\n{context}");
        } else if !upstream.removed.iter().any(|removed| removed == name) {
            assert_eq!(seen.values(name), sent, "{name}\n{context}");
        }
    }
    let is_shortened = upstream.shortened.iter().any(|shortened| shortened == ":path");
    assert_eq!(seen.target == case.target, !is_shortened, "{}\n{context}", seen.target);
}

fn state_of(number: usize, outcome: &Outcome) -> String {
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let Outcome { decision, reason, rule, user, source, .. } = outcome;
    format!("{number}|{decision}|{reason}|{}|{}|{}", or_none(rule), or_none(user), or_none(source))
}

/// Sends made-up requests to a listener, and holds each to its explanation; says what the explanations counted.
fn compare(mesh: &Mesh, listener: &'static str, config: &Value, known: &Known, seed: u64) -> BTreeMap<String, u64> {
    let mut dice = Dice(seed);
    let mut counts = BTreeMap::new();
    let mut states = Vec::new();
    let mut statuses = BTreeMap::new();
    for number in 0..REQUESTS {
        let case = Case::made_up(&mut dice, number);
        known.0.lock().unwrap().insert(case.token.clone(), case.assumed.clone());
        let request = case.request();
        let response = mesh.send_at(listener, &request);
        let explanation = case.explained(config);
        let [outcome] = explanation.outcomes.as_slice() else { panic!("one outcome was expected: {explanation:#?}") };
        let context =
            format!("request {number} of {listener}:\n{request}{:?}\n{explanation}\n{response:?}", case.assumed);
        match (&outcome.answer, &outcome.upstream) {
            (Some(answer), None) => assert_answered(&case, answer, &response, &context),
            (None, Some(upstream)) => {
                assert!(response.status == 200 || response.status == 101, "{context}");
                assert_passed(&case, upstream, &mesh.seen_for(&request, &response), &context);
            }
            _ => panic!("either an answer or an upstream was expected\n{context}"),
        }
        // What was found by the same path as in the filter is the filter's own word.
        assert_eq!(explanation.rule.as_ref().map(|rule| &rule.label), outcome.rule.as_ref(), "{context}");
        *counts.entry(outcome.counter.trim_start_matches("rest_sessions.").to_owned()).or_default() += 1;
        *statuses.entry(response.status).or_insert(0) += 1;
        // In shadow, the request may be over before it is known what would have been.
        if !explanation.rule.as_ref().is_some_and(|rule| rule.shadow) {
            states.push(state_of(number, outcome));
        }
    }
    println!("{listener}: {statuses:?} {counts:?}");
    wait::until("the access log of every request", || {
        let log = mesh.envoy.access_log(listener);
        states.iter().all(|state| log.contains(state)).then_some(()).or_else(|| {
            // Shown where the time is up.
            println!("{:?}", states.iter().find(|state| !log.contains(state)));
            None
        })
    });
    counts
}

#[test]
fn what_is_explained_is_what_happens() {
    let known = Known::default();
    let stub = known.stub();
    let hosts = json!(["shop.example.com", "*.shop.example.com", "admin.example.com"]);
    let closed = rich(json!({"hosts": hosts, "forward_token": false}));
    let open = rich(json!({"path_case": "exact", "cors_preflight": "pass"}));
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
    // Of nearly every kind of outcome there was one.
    assert!(counts.len() >= 16, "{counts:?}");
    let counts: Vec<(&str, u64)> = counts.iter().map(|(counter, count)| (counter.as_str(), *count)).collect();
    mesh.expect_outcomes(&counts);
}

#[test]
fn the_program_says_what_envoy_does() {
    let stub = Stub::knowing_everyone();
    let config = rich(json!({"hosts": ["shop.example.com"]}));
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
        let done = command.output().unwrap();
        let said: Value = serde_json::from_slice(&done.stdout).unwrap();
        let response = mesh.send(&request);
        let answered = &said["outcomes"][0]["answer"]["status"];
        assert_eq!(answered.as_u64().unwrap_or(200), u64::from(response.status), "{said:#}");
        let location = said["outcomes"][0]["answer"]["headers"].as_array().into_iter().flatten();
        let location = location.filter(|header| header[0] == "location").map(|header| header[1].as_str().unwrap());
        assert_eq!(location.collect::<Vec<_>>(), response.header("location").iter().collect::<Vec<_>>(), "{said:#}");
    }
}

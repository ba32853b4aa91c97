//! The kinds of requests that are counted. Each kind runs in its own VM, after some requests of the same kind.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::host::{self, Cost, Headers, REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, ROOT, Vm};

/// The costs of a request's phases, by name.
pub type PhaseCosts = BTreeMap<String, Cost>;

const TOKEN: &str = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz234567Zlqt00000";
const SESSION: &str =
    r#"{"id":"user123","r":1,"w":1,"ttl":7200,"idle":3,"ip":"192.0.2.1","d":{"cart":2,"name":"Zoë"}}"#;

/// The number of requests before the counted one: they grow maps and memory to their steady size.
const WARM_UP: u32 = 8;

/// A request, and its expected outcome.
struct Kind {
    name: &'static str,
    configuration: Value,
    path: String,
    cookie: Option<String>,
    trailers: bool,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Passes,
    /// Denied with this status.
    Denied(u32),
    /// Passes after a call, whose response is a session.
    PassesAfterCall,
}

fn configuration(rules: Value) -> Value {
    json!({
        "app": "myapp",
        "rest_sessions": {"cluster": "rest-sessions"},
        "rules": rules,
        "annotate": {"headers": {"x-session-user": "id", "x-session-data": "d"}},
    })
}

/// `/optional/*` and `/off/*` are optional and off, every other path is required.
fn three_routes() -> Value {
    configuration(json!([
        {"match": {"paths": ["/optional/*"]}, "session": "optional"},
        {"match": {"paths": ["/off/*"]}, "session": "off"},
    ]))
}

/// This many rules, of which the last one matches `/last/*`.
fn many_rules(count: usize) -> Value {
    let rule = |index| match index {
        index if index + 1 == count => json!({"match": {"paths": ["/last/*"]}, "session": "off"}),
        index if index % 2 == 0 => json!({"match": {"paths": [format!("/area-{index}/*")]}, "session": "required"}),
        index => json!({"match": {"paths": [format!("/page-{index}")]}, "session": "optional"}),
    };
    configuration((0..count).map(rule).collect())
}

/// A Cookie header of at most this many bytes, in which the session's cookie is the last.
fn cookie_of(size: usize) -> String {
    let session = format!("session-cookie={TOKEN}");
    let mut header = String::new();
    for index in 0.. {
        let other = format!("cookie-{index}=value-{index}; ");
        if header.len() + other.len() + session.len() > size {
            break;
        }
        header.push_str(&other);
    }
    header + &session
}

fn kinds() -> Vec<Kind> {
    let plain = |name, path: &str, outcome| Kind {
        name,
        configuration: three_routes(),
        path: path.to_owned(),
        cookie: None,
        trailers: false,
        outcome,
    };
    let session = || Some(format!("theme=dark; session-cookie={TOKEN}"));
    let rules = |name, count| Kind { configuration: many_rules(count), ..plain(name, "/last/page", Outcome::Passes) };
    let with_call = |name, cookie| Kind { cookie: Some(cookie), ..plain(name, "/account", Outcome::PassesAfterCall) };
    let mut cached = three_routes();
    cached["cache"] = json!({"ttl": "5s"});
    let mut written = cached.clone();
    written["write_back"] = json!({});
    let mut methods = cached.clone();
    methods["rules"][1]["match"]["methods"] = json!(["GET"]);
    vec![
        Kind {
            cookie: session(),
            configuration: cached.clone(),
            ..plain("required, from the cache, two headers set", "/account", Outcome::Passes)
        },
        Kind {
            cookie: session(),
            configuration: written,
            ..plain("required, from the cache, two headers set, with write_back", "/account", Outcome::Passes)
        },
        Kind {
            cookie: session(),
            configuration: cached,
            ..plain("optional, from the cache, two headers set", "/optional/page", Outcome::Passes)
        },
        Kind {
            cookie: session(),
            configuration: methods,
            ..plain(
                "required, from the cache, rules name methods, a query",
                "/account?page=2&sort=name",
                Outcome::Passes,
            )
        },
        plain("off", "/off/style.css", Outcome::Passes),
        Kind { cookie: session(), ..plain("off, with a token", "/off/style.css", Outcome::Passes) },
        plain("required, without a token", "/account", Outcome::Denied(401)),
        with_call("required, with a call and two headers set", session().unwrap_or_default()),
        plain("optional, without a token", "/optional/page", Outcome::Passes),
        plain("off, a path that is not plain", "/off/a%20page;v=1/%C3%A9", Outcome::Passes),
        plain("a path that is refused", "/off/%2e%2e/account", Outcome::Denied(400)),
        rules("off, the last of 10 rules", 10),
        rules("off, the last of 100 rules", 100),
        rules("off, the last of 1000 rules", 1000),
        with_call("required, with a call, 100 bytes of cookies", cookie_of(100)),
        with_call("required, with a call, 8192 bytes of cookies", cookie_of(8192)),
        Kind { trailers: true, ..plain("off, with trailers", "/off/upload", Outcome::Passes) },
    ]
}

/// The headers of a typical request of a browser, as Envoy delivers them.
fn headers(kind: &Kind) -> Headers {
    let mut headers: Headers = [
        (":authority", "shop.example.com"),
        (":path", &*kind.path),
        (":method", "GET"),
        (":scheme", "https"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    headers.extend(kind.cookie.iter().map(|cookie| ("cookie".to_owned(), cookie.clone())));
    headers
}

/// Runs one request, and returns the costs of its phases and its outcome.
fn run(vm: &mut Vm, kind: &Kind, context: u32) -> (PhaseCosts, Option<Outcome>) {
    let mut costs = PhaseCosts::new();
    let mut phase = |vm: &mut Vm, name: &str, calls: &mut dyn FnMut(&mut Vm)| {
        costs.insert(name.to_owned(), vm.cost(calls));
    };
    (vm.store.data_mut().replied, vm.store.data_mut().resumed) = (None, false);

    let count = vm.set_map(REQUEST_HEADERS, headers(kind));
    let calls = vm.last_call();
    let mut paused = false;
    phase(vm, "1 headers", &mut |vm| {
        vm.call("proxy_on_context_create", &[context, ROOT]);
        paused = vm.call("proxy_on_request_headers", &[context, count, u32::from(!kind.trailers)]) == Some(1);
    });
    if kind.trailers {
        let trailers = [("checksum", "9a0364b9"), ("x-session-user", "forged")];
        let count = vm.set_map(REQUEST_TRAILERS, trailers.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec());
        phase(vm, "2 trailers", &mut |vm| {
            vm.call("proxy_on_request_trailers", &[context, count]);
        });
    }
    let call = vm.last_call();
    if call > calls {
        phase(vm, "3 answer", &mut |vm| vm.respond(call, SESSION));
    }
    if vm.store.data().replied.is_none() {
        let response = [
            (":status", "200"),
            ("content-type", "text/html; charset=utf-8"),
            ("content-length", "5120"),
            ("cache-control", "private, no-cache"),
            ("vary", "accept-encoding, cookie"),
            ("etag", "\"5f9c-1400\""),
            ("date", "Thu, 26 Nov 2026 12:00:00 GMT"),
            ("x-envoy-upstream-service-time", "12"),
        ];
        let count = vm.set_map(RESPONSE_HEADERS, response.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec());
        phase(vm, "4 response", &mut |vm| {
            assert_eq!(
                vm.call("proxy_on_response_headers", &[context, count, 0]),
                Some(0),
                "the response was paused, but was expected to pass"
            );
        });
    }
    phase(vm, "5 end", &mut |vm| {
        vm.call("proxy_on_delete", &[context]);
    });

    let host = vm.store.data();
    let outcome = match (paused, call > calls, host.replied, host.resumed) {
        (false, false, None, _) => Some(Outcome::Passes),
        (true, false, Some(status), _) => Some(Outcome::Denied(status)),
        (true, true, None, true) => Some(Outcome::PassesAfterCall),
        _ => None,
    };
    (costs, outcome)
}

/// The instructions that a request with this path takes up to its decision, be it let through or refused.
pub fn count_path(vm: &mut Vm, context: &mut u32, path: String) -> u64 {
    let kind = Kind {
        name: "a path",
        configuration: Value::Null,
        path,
        cookie: None,
        trailers: false,
        outcome: Outcome::Passes,
    };
    *context += 1;
    let (costs, outcome) = run(vm, &kind, *context);
    assert!(matches!(outcome, Some(Outcome::Passes | Outcome::Denied(400))), "{}", kind.path);
    costs["1 headers"].instructions
}

/// A VM for [`count_path`], after some requests.
pub fn vm_for_paths(module: &[u8]) -> (Vm, u32) {
    let mut vm = Vm::start(&host::load(module), three_routes().to_string());
    let mut context = ROOT;
    for _ in 0..WARM_UP {
        count_path(&mut vm, &mut context, format!("/off/{}", "a".repeat(60_000)));
    }
    (vm, context)
}

/// The costs of each kind of request.
pub fn count(module: &[u8]) -> BTreeMap<String, PhaseCosts> {
    let module = host::load(module);
    let counted = kinds().into_iter().map(|kind| {
        let mut vm = Vm::start(&module, kind.configuration.to_string());
        for context in ROOT + 1..=ROOT + WARM_UP {
            run(&mut vm, &kind, context);
        }
        let (costs, outcome) = run(&mut vm, &kind, ROOT + WARM_UP + 1);
        assert!(outcome == Some(kind.outcome), "{}: the request has another outcome than expected", kind.name);
        assert!(vm.store.data().log.is_empty(), "{}: no log line was expected: {:#?}", kind.name, vm.store.data().log);
        (kind.name.to_owned(), costs)
    });
    counted.collect()
}

/// The instructions that the filter takes for each of these tokens until it asks rest-sessions, while it has the session
/// of [`TOKEN`] in its cache.
pub fn count_until_call(module: &[u8], tokens: &[String]) -> Vec<u64> {
    let module = host::load(module);
    let mut configuration = three_routes();
    configuration["cache"] = json!({"ttl": "5s"});
    let with = |token: &str, outcome| Kind {
        name: "a token beside the cached one",
        configuration: configuration.clone(),
        path: "/account".to_owned(),
        cookie: Some(format!("session-cookie={token}")),
        trailers: false,
        outcome,
    };
    let counted = tokens.iter().map(|token| {
        let mut vm = Vm::start(&module, configuration.to_string());
        for context in ROOT + 1..=ROOT + WARM_UP {
            run(&mut vm, &with(TOKEN, Outcome::Passes), context);
        }
        let (costs, outcome) = run(&mut vm, &with(token, Outcome::PassesAfterCall), ROOT + WARM_UP + 1);
        assert!(outcome == Some(Outcome::PassesAfterCall), "{token} was not looked up");
        costs["1 headers"].instructions
    });
    counted.collect()
}

/// The token whose session is cached, with another character at this place. The last characters of a token are the time
/// of its creation, which stays.
pub fn token_that_differs_at(place: usize) -> String {
    let other = if TOKEN.as_bytes()[place] == b'x' { "y" } else { "x" };
    let mut token = TOKEN.to_owned();
    token.replace_range(place..=place, other);
    token
}

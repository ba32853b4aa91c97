//! The kinds of requests that are counted, each in a VM of its own that has seen some like it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::host::{self, Cost, Headers, REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, ROOT, Vm};

/// The parts of a request's life, by name.
pub type Life = BTreeMap<String, Cost>;

const TOKEN: &str = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz234567Zlqt00000";
const SESSION: &str =
    r#"{"id":"user123","r":1,"w":1,"ttl":7200,"idle":3,"ip":"192.0.2.1","d":{"cart":2,"name":"Zoë"}}"#;

/// The first requests fill what later ones find: room in maps, free memory.
const EARLIER: u32 = 8;

/// A request, and what is to become of it.
struct Kind {
    name: &'static str,
    configuration: Value,
    path: &'static str,
    cookie: Option<String>,
    trailers: bool,
    ends: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Passes,
    /// With this status.
    IsRefused(u32),
    /// After a call, which is answered with a session.
    PassesAfterACall,
}

fn configuration(rules: Value) -> Value {
    json!({
        "app": "myapp",
        "rest_sessions": {"cluster": "rest-sessions"},
        "rules": rules,
        "annotate": {"headers": {"x-session-user": "id", "x-session-data": "d"}},
    })
}

/// `/optional/*` and `/off/*` are what they say; everything else is required.
fn three_routes() -> Value {
    configuration(json!([
        {"match": {"paths": ["/optional/*"]}, "session": "optional"},
        {"match": {"paths": ["/off/*"]}, "session": "off"},
    ]))
}

/// So many rules, of which the last one is for `/last/*`.
fn many_rules(count: usize) -> Value {
    let rule = |index| match index {
        index if index + 1 == count => json!({"match": {"paths": ["/last/*"]}, "session": "off"}),
        index if index % 2 == 0 => json!({"match": {"paths": [format!("/area-{index}/*")]}, "session": "required"}),
        index => json!({"match": {"paths": [format!("/page-{index}")]}, "session": "optional"}),
    };
    configuration((0..count).map(rule).collect())
}

/// A Cookie header of so many bytes, in which the session's cookie is the last.
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
    let plain =
        |name, path, ends| Kind { name, configuration: three_routes(), path, cookie: None, trailers: false, ends };
    let session = || Some(format!("theme=dark; session-cookie={TOKEN}"));
    let rules = |name, count| Kind { configuration: many_rules(count), ..plain(name, "/last/page", End::Passes) };
    let asks = |name, cookie| Kind { cookie: Some(cookie), ..plain(name, "/account", End::PassesAfterACall) };
    let mut cached = three_routes();
    cached["cache"] = json!({"ttl": "5s"});
    let mut written = cached.clone();
    written["write_back"] = json!({});
    vec![
        Kind {
            cookie: session(),
            configuration: cached.clone(),
            ..plain("required, from the cache, two headers set", "/account", End::Passes)
        },
        Kind {
            cookie: session(),
            configuration: written,
            ..plain("required, from the cache, two headers set, with write_back", "/account", End::Passes)
        },
        Kind {
            cookie: session(),
            configuration: cached,
            ..plain("optional, from the cache, two headers set", "/optional/page", End::Passes)
        },
        plain("off", "/off/style.css", End::Passes),
        Kind { cookie: session(), ..plain("off, with a token", "/off/style.css", End::Passes) },
        plain("required, without a token", "/account", End::IsRefused(401)),
        asks("required, with a call and two headers set", session().unwrap_or_default()),
        plain("optional, without a token", "/optional/page", End::Passes),
        plain("off, a path that is not plain", "/off/a%20page;v=1/%C3%A9", End::Passes),
        plain("a path that is refused", "/off/%2e%2e/account", End::IsRefused(400)),
        rules("off, the last of 10 rules", 10),
        rules("off, the last of 100 rules", 100),
        rules("off, the last of 1000 rules", 1000),
        asks("required, with a call, 100 bytes of cookies", cookie_of(100)),
        asks("required, with a call, 8192 bytes of cookies", cookie_of(8192)),
        Kind { trailers: true, ..plain("off, with trailers", "/off/upload", End::Passes) },
    ]
}

/// About as many headers as a browser's request has once Envoy hands it over.
fn headers(kind: &Kind) -> Headers {
    let mut headers: Headers = [
        (":authority", "shop.example.com"),
        (":path", kind.path),
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

fn live(vm: &mut Vm, kind: &Kind, context: u32) -> (Life, Option<End>) {
    let mut life = Life::new();
    let mut part = |vm: &mut Vm, name: &str, run: &mut dyn FnMut(&mut Vm)| {
        life.insert(name.to_owned(), vm.cost(run));
    };
    (vm.store.data_mut().replied, vm.store.data_mut().resumed) = (None, false);

    let count = vm.set_map(REQUEST_HEADERS, headers(kind));
    let calls = vm.last_call();
    let mut paused = false;
    part(vm, "1 headers", &mut |vm| {
        vm.call("proxy_on_context_create", &[context, ROOT]);
        paused = vm.call("proxy_on_request_headers", &[context, count, u32::from(!kind.trailers)]) == Some(1);
    });
    if kind.trailers {
        let trailers = [("checksum", "9a0364b9"), ("x-session-user", "forged")];
        let count = vm.set_map(REQUEST_TRAILERS, trailers.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec());
        part(vm, "2 trailers", &mut |vm| {
            vm.call("proxy_on_request_trailers", &[context, count]);
        });
    }
    let call = vm.last_call();
    if call > calls {
        part(vm, "3 answer", &mut |vm| vm.answer(call, SESSION));
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
        part(vm, "4 response", &mut |vm| {
            assert_eq!(vm.call("proxy_on_response_headers", &[context, count, 0]), Some(0), "the response waits");
        });
    }
    part(vm, "5 end", &mut |vm| {
        vm.call("proxy_on_delete", &[context]);
    });

    let host = vm.store.data();
    let ended = match (paused, call > calls, host.replied, host.resumed) {
        (false, false, None, _) => Some(End::Passes),
        (true, false, Some(status), _) => Some(End::IsRefused(status)),
        (true, true, None, true) => Some(End::PassesAfterACall),
        _ => None,
    };
    (life, ended)
}

/// What each kind of request costs.
pub fn count(module: &[u8]) -> BTreeMap<String, Life> {
    let module = host::load(module);
    let counted = kinds().into_iter().map(|kind| {
        let mut vm = Vm::start(&module, kind.configuration.to_string());
        for context in ROOT + 1..=ROOT + EARLIER {
            live(&mut vm, &kind, context);
        }
        let (life, ended) = live(&mut vm, &kind, ROOT + EARLIER + 1);
        assert!(ended == Some(kind.ends), "{}: the request ended otherwise", kind.name);
        assert!(vm.store.data().log.is_empty(), "{}: there is trouble: {:#?}", kind.name, vm.store.data().log);
        (kind.name.to_owned(), life)
    });
    counted.collect()
}

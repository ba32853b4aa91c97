//! Random requests, the same in every run, and the sessions of their tokens.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use rest_sessions_core::config::Config;
use serde_json::{Value, json};
use session_filter::explain::{self, AssumedSession, Explanation, Scenario, explain};

use test_support::http1::Request;
use test_support::token;

/// A pseudo-random generator (SplitMix64): the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % limit
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A random request, and the sessions of its tokens.
pub struct Case {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// The request has the first token in every source, and in some the second one beside it.
    pub sessions: [(String, AssumedSession); 2],
    host: String,
}

impl Case {
    pub fn new(random: &mut Random, number: usize) -> Self {
        let token = match random.below(10) {
            0 => token::aged(Duration::from_secs(13 * 3600)),
            1 => token::aged(Duration::from_secs(11 * 3600)),
            _ => token::fresh(),
        };
        let host = (*random.pick(&HOSTS)).to_owned();
        let mut case = Self {
            method: (*random.pick(&METHODS)).to_owned(),
            target: target(random, &token),
            headers: vec![("x-case".to_owned(), number.to_string())],
            sessions: [(token, assumed(random)), (token::fresh(), assumed(random))],
            host,
        };
        case.add_tokens(random);
        case.add_browser_headers(random);
        case.add_spoofed_headers(random);
        case
    }

    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    fn add_tokens(&mut self, random: &mut Random) {
        let [token, other] = self.sessions.each_ref().map(|(token, _)| token.clone());
        match random.below(13) {
            0..4 => self.add("cookie", format!("a=1; session-cookie={token}; b=2")),
            4 => self.add("cookie", format!("session-cookie=\"{token}\"")),
            5 => self.add("cookie", format!("session-cookie={token}; session-cookie={other}")),
            6 => self.add("cookie", format!("session-cookie={}; Session-Cookie={token}", &token[1..])),
            7 => {
                self.add("cookie", "session-cookie=junk");
                self.add("authorization", format!("bearer {token}"));
            }
            8 => self.add("authorization", format!("Basic {token}")),
            9 => self.add("x-api-token", token),
            10 => {
                self.add("cookie", format!("session-cookie={token}; session-cookie=\"{token}\""));
                self.add("cookie", format!("a=1; session-cookie={other}"));
            }
            _ => {}
        }
    }

    fn add_browser_headers(&mut self, random: &mut Random) {
        match random.below(6) {
            0 => self.add("sec-fetch-mode", *random.pick(&["navigate", "cors"])),
            1 => self.add("accept", *random.pick(&["text/html,*/*;q=0.8", "application/json"])),
            2 => {
                self.add("accept", "text/html");
                self.add("x-requested-with", *random.pick(&["XMLHttpRequest", "com.example.app"]));
            }
            _ => {}
        }
        if random.one_in(3) {
            let own = format!("http://{}", self.host);
            self.add(
                "origin",
                *random.pick(&[own.as_str(), "https://app.example.com", "https://evil.example.org", "null"]),
            );
        }
        if random.one_in(6) {
            self.add("sec-fetch-site", *random.pick(&["cross-site", "same-site", "same-origin", "none"]));
        }
        if self.method == "OPTIONS" && !random.one_in(3) {
            self.add("access-control-request-method", *random.pick(&["PUT", "POST"]));
        }
        if random.one_in(12) {
            self.add("sec-purpose", "prefetch;prerender");
        }
        if self.method == "GET" && random.one_in(8) {
            self.add("connection", "Upgrade");
            self.add("upgrade", "websocket");
            self.add("sec-websocket-version", "13");
            self.add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        } else if self.method == "POST" && random.one_in(6) {
            self.add("content-type", "application/grpc");
        }
    }

    fn add_spoofed_headers(&mut self, random: &mut Random) {
        if random.one_in(4) {
            let name = *random.pick(&[
                "x-session-user",
                "X-Session.Role",
                "x-session-data",
                "x-rewrite-url",
                "x-session-kill",
            ]);
            self.add(name, "forged");
        }
        if random.one_in(8) {
            self.add("x-forwarded-proto", *random.pick(&["https", "http", "ftp", "wss", "HTTPS", "https,http"]));
        }
    }

    pub fn request(&self) -> Request {
        let request = Request::new(&self.method, &self.target).host(&self.host);
        self.headers.iter().fold(request, |request, (name, value)| request.header(name.as_bytes(), value.as_bytes()))
    }

    fn explain_request(&self) -> explain::Request {
        explain::Request {
            method: self.method.clone(),
            scheme: "http".to_owned(),
            authority: self.host.clone(),
            target: self.target.clone(),
            headers: self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect(),
        }
    }

    pub fn explain(&self, config: &Value) -> Explanation {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let question = Scenario {
            request: self.explain_request(),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            now_ms: now.as_millis().try_into().unwrap(),
            assumed: self.sessions.each_ref().map(|(_, assumed)| assumed.clone()).into(),
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

fn target(random: &mut Random, token: &str) -> String {
    let mut target = if random.one_in(3) {
        let segments: Vec<&str> = (0..=random.below(3)).map(|_| *random.pick(&SEGMENTS)).collect();
        format!("/{}", segments.join("/"))
    } else {
        (*random.pick(&PATHS)).to_owned()
    };
    match random.below(8) {
        0 => target.push_str("?x=1"),
        1 | 2 => target.push_str(&format!("?t={token}&x=a%20b")),
        3 => target.push_str("?t=junk"),
        _ => {}
    }
    target
}

fn assumed(random: &mut Random) -> AssumedSession {
    match random.below(8) {
        0 => return AssumedSession::None,
        1 => return AssumedSession::Unavailable,
        _ => {}
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let data = match random.below(6) {
        0 => json!({"role": "admin", "auth_time": now - 60}),
        1 => json!({"role": "owner", "auth_time": now - 3600}),
        2 => json!({"role": "member", "n": 1.5, "beta": true}),
        3 => json!({"role": "Zoë \"x\" 100%\n"}),
        4 => json!({"blob": "long words ".repeat(60)}),
        _ => Value::Null,
    };
    let mut session = json!({"id": *random.pick(&["u1", "Zoë", "a b%"]), "ttl": 7200, "r": 1, "w": 1});
    session["idle"] = (*random.pick(&[0, 3, 1801])).into();
    session["ip"] = (*random.pick(&["127.0.0.1", "::ffff:127.0.0.1", "192.0.2.1"])).into();
    if !data.is_null() {
        session["d"] = data;
    }
    AssumedSession::Active(session.to_string())
}

//! Requests that are made up, the same ones in every run, with what rest-sessions knows of their tokens.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use rest_sessions_core::config::Config;
use serde_json::{Value, json};
use session_filter::explain::{self, Assumed, Explanation, Question, explain};
use test_support::http1::Request;
use test_support::token;

/// Numbers that are the same in every run.
pub struct Dice(pub u64);

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
pub struct Case {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub token: String,
    pub assumed: Assumed,
    host: String,
}

impl Case {
    pub fn made_up(dice: &mut Dice, number: usize) -> Self {
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

    pub fn request(&self) -> Request {
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

    pub fn explained(&self, config: &Value) -> Explanation {
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

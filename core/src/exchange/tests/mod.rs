//! Requests in words: what a configuration makes of each.

mod decision;
mod judging;
mod login;
mod logout;
mod require;
mod response;
mod shadow;
mod watch;

use super::*;
use crate::session::data::Scalar;
use crate::session::lookup::Lookup;
use crate::session::session::Parts;
use crate::session::token::tests::{NOW_MS, token_made_at};
use crate::telemetry::Outcome;
use serde_json::{Value, json};

/// A configuration with these keys, and a request at a time.
struct Site {
    config: Config,
    digest_key: RandomState,
}

fn site(changes: Value) -> Site {
    let mut config = json!({"app": "myapp", "rest_sessions": {"cluster": "rs"}, "filter_state": true});
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let config = Config::parse(config.to_string().as_bytes()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Site { config, digest_key: RandomState::new() }
}

/// What a request came to, in words.
#[derive(Debug, PartialEq)]
enum Went {
    /// With these headers taken out and these set.
    Forward(Vec<String>, Vec<(String, String)>),
    Reply(u16, &'static str),
    /// Sent there, with this status.
    Redirect(u16, String),
    Call,
    /// So many sessions are to be ended.
    Kills(usize),
}

struct Told {
    went: Went,
    headers: Headers,
    effects: Vec<Effect>,
    reply: Option<LocalReply>,
    asks: Option<AwaitSession>,
    ends: Option<AwaitKills>,
    open: Open,
}

impl Told {
    fn start(headers: Headers, step: Step<Start>) -> Self {
        let told = |headers, went| Self {
            went,
            headers,
            effects: Vec::new(),
            reply: None,
            asks: None,
            ends: None,
            open: Open::default(),
        };
        match step.next {
            Start::Decided(verdict) => Self::by(headers, Step { effects: step.effects, next: verdict }),
            Start::Ask(exchange) => Self { effects: step.effects, asks: Some(exchange), ..told(headers, Went::Call) },
            Start::End(exchange) => {
                let went = Went::Kills(exchange.tokens().len());
                Self { effects: step.effects, ends: Some(exchange), ..told(headers, went) }
            }
        }
    }

    fn by(headers: Headers, step: Step<Verdict>) -> Self {
        let forward = |effects: &[Effect]| {
            let (mut removed, mut set) = (Vec::new(), Vec::new());
            for effect in effects {
                match effect {
                    Effect::RequestHeader(HeaderChange::Remove(name)) => removed.push(text(name)),
                    Effect::RequestHeader(HeaderChange::Add(name, value) | HeaderChange::Replace(name, value)) => {
                        set.push((text(name), text(value)));
                    }
                    _ => {}
                }
            }
            Went::Forward(removed, set)
        };
        let (went, reply, open) = match step.next {
            Verdict::Forward(open) => (forward(&step.effects), None, open),
            Verdict::Reply(given) => (answered(&given), Some(given), Open::default()),
        };
        Self { went, headers, effects: step.effects, reply, asks: None, ends: None, open }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |effect: &Effect| match effect {
            Effect::Count(Counter::Outcome(outcome)) => Some(*outcome),
            _ => None,
        };
        self.effects.iter().filter_map(outcome).collect()
    }

    fn filter_state(&self, key: FilterState) -> Option<&str> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::FilterState(other, value) if *other == key => Some(value.as_str()),
            _ => None,
        })
    }

    /// The values of a header of the filter's own answer.
    fn answer(&self, name: &str) -> Vec<&str> {
        let headers = self.reply.iter().flat_map(|reply| &reply.headers);
        headers.filter(|(other, _)| *other == name).map(|(_, value)| value.as_str()).collect()
    }
}

fn answered(given: &LocalReply) -> Went {
    if let Some((_, location)) = given.headers.iter().find(|(name, _)| *name == "location") {
        return Went::Redirect(given.status, location.clone());
    }
    if given.body.is_empty() {
        return Went::Reply(given.status, "");
    }
    let code = serde_json::from_str::<Value>(given.body).unwrap()["error"].as_str().unwrap().to_owned();
    Went::Reply(given.status, Box::leak(code.into_boxed_str()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Site {
    fn around(&self) -> Surroundings<'_> {
        Surroundings {
            config: &self.config,
            now_ms: &|| NOW_MS,
            client: &|| Some(b"203.0.113.7:1234".to_vec()),
            digest_key: &self.digest_key,
        }
    }

    fn begin(&self, headers: &[(&str, &str)]) -> Told {
        let mut all = vec![(":method", "GET"), (":scheme", "https"), (":authority", "shop.example"), (":path", "/")];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend(headers);
        let headers = Headers::from_pairs(&all);
        let step = request_headers(self.around(), &headers, true);
        Told::start(headers, step)
    }

    fn judge(&self, headers: &[(&str, &str)]) -> Went {
        self.begin(headers).went
    }

    fn path(&self, path: &str) -> Went {
        self.judge(&[(":path", path)])
    }

    /// What a request that waits for its session comes to when that is known.
    fn told(&self, asked: Told, lookup: &Lookup) -> Told {
        assert_eq!(asked.went, Went::Call);
        assert_eq!(asked.outcomes(), []);
        let step = asked.asks.unwrap().session(self.around(), &asked.headers, lookup);
        Told::by(asked.headers, step)
    }

    /// What a request with a token and these headers comes to when its lookup does.
    fn settle_with(&self, headers: &[(&str, &str)], lookup: &Lookup) -> Told {
        let cookie = cookie(42_000);
        let asked = self.begin(&[&[("cookie", cookie.as_str()), (":path", "/somewhere")], headers].concat());
        self.told(asked, lookup)
    }

    fn settle(&self, lookup: &Lookup) -> Told {
        self.settle_with(&[], lookup)
    }
}

/// A cookie with a token that was made so long ago.
fn cookie(age_ms: u64) -> String {
    format!("session-cookie={}", token_made_at(NOW_MS - age_ms))
}

fn session() -> Lookup {
    Lookup::Active(Parts { id: "user123".into(), ttl: "7200", ..Parts::default() }.into())
}

fn session_with(data: &[(&'static str, Scalar<'static>)]) -> Lookup {
    let data = data.iter().map(|(key, value)| ((*key).into(), value.clone())).collect();
    Lookup::Active(Parts { id: "user123".into(), ttl: "7200", data, ..Parts::default() }.into())
}

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn forward(pairs: &[(&str, &str)]) -> Went {
    Went::Forward(vec![], set(pairs))
}

/// How browsers of today ask for a page.
const NAVIGATION: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("accept", "text/html,*/*;q=0.8")];

const PASS: &[(&str, &str)] = &[];
const REQUIRED: Went = Went::Reply(401, "session_required");

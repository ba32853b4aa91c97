use super::*;
use crate::session::lookup::{BadAnswer, Outage};
use crate::session::session::Parts;
use crate::session::token::tests::{NOW_MS, token_made_at};
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
    Call,
}

struct Told {
    went: Went,
    effects: Vec<Effect>,
    reply: Option<Reply>,
    asks: Option<AwaitSession>,
}

impl Told {
    fn start(step: Step<Start>) -> Self {
        match step.next {
            Start::Decided(verdict) => Self::by(Step { effects: step.effects, next: verdict }),
            Start::Ask(exchange) => Self { went: Went::Call, effects: step.effects, reply: None, asks: Some(exchange) },
        }
    }

    fn by(step: Step<Verdict>) -> Self {
        let (went, reply) = match step.next {
            Verdict::Forward => {
                let (mut removed, mut set) = (Vec::new(), Vec::new());
                for effect in &step.effects {
                    match effect {
                        Effect::RequestHeader(HeaderChange::Remove(name)) => removed.push(text(name)),
                        Effect::RequestHeader(HeaderChange::Add(name, value) | HeaderChange::Replace(name, value)) => {
                            set.push((text(name), text(value)));
                        }
                        _ => {}
                    }
                }
                (Went::Forward(removed, set), None)
            }
            Verdict::Reply(given) => {
                let code = serde_json::from_str::<Value>(given.body).unwrap()["error"].as_str().unwrap().to_owned();
                (Went::Reply(given.status, Box::leak(code.into_boxed_str())), Some(given))
            }
        };
        Self { went, effects: step.effects, reply, asks: None }
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
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Site {
    fn around(&self) -> Surroundings<'_> {
        Surroundings { config: &self.config, now_ms: &|| NOW_MS, digest_key: &self.digest_key }
    }

    fn begin(&self, headers: &[(&str, &str)]) -> Told {
        let mut all = vec![(":method", "GET"), (":scheme", "https"), (":authority", "shop.example"), (":path", "/")];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend(headers);
        let headers = Headers::from_pairs(&all);
        Told::start(request_headers(self.around(), &headers, true))
    }

    fn judge(&self, headers: &[(&str, &str)]) -> Went {
        self.begin(headers).went
    }

    fn path(&self, path: &str) -> Went {
        self.judge(&[(":path", path)])
    }

    /// What a request with a token comes to when its lookup does.
    fn settle(&self, lookup: &Lookup) -> Told {
        let cookie = format!("session-cookie={}", token_made_at(NOW_MS - 42_000));
        let asked = self.begin(&[("cookie", &cookie), (":path", "/somewhere")]);
        assert_eq!(asked.went, Went::Call);
        assert_eq!(asked.outcomes(), []);
        Told::by(asked.asks.unwrap().session(self.around(), lookup))
    }
}

fn session() -> Lookup {
    Lookup::Active(Parts { id: "user123".into(), ttl: "7200", ..Parts::default() }.into())
}

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn forward(pairs: &[(&str, &str)]) -> Went {
    Went::Forward(vec![], set(pairs))
}

const PASS: &[(&str, &str)] = &[];
const REQUIRED: Went = Went::Reply(401, "session_required");

#[test]
fn the_decision_table() {
    let annotate = json!({"headers": {"x-session-user": "id", "x-status": "status"}});
    let with = |session: &str, failure_mode: &str| {
        site(json!({"default": {"session": session}, "failure_mode": failure_mode, "annotate": annotate}))
    };
    let outage = || Lookup::Outage(Outage::Timeout);
    let bad = || Lookup::Bad(BadAnswer::Status(404));
    let active = &[("x-session-user", "user123"), ("x-status", "active")];
    let unavailable = || forward(&[("x-status", "unavailable")]);
    let away = Went::Reply(503, "sessions_unavailable");
    let busy = Went::Reply(503, "sessions_busy");

    for (session_mode, failure_mode, lookup, went, outcome) in [
        ("required", "deny", session(), forward(active), Outcome::Allowed),
        ("required", "deny", Lookup::None, REQUIRED, Outcome::DeniedNoSession),
        ("required", "deny", outage(), away, Outcome::DeniedUnavailable),
        ("required", "deny", bad(), Went::Reply(503, "sessions_unavailable"), Outcome::DeniedUnavailable),
        ("required", "deny", Lookup::Busy, busy, Outcome::DeniedBusy),
        ("required", "allow", session(), forward(active), Outcome::Allowed),
        ("required", "allow", Lookup::None, REQUIRED, Outcome::DeniedNoSession),
        ("required", "allow", outage(), unavailable(), Outcome::FailedOpen),
        ("required", "allow", bad(), Went::Reply(503, "sessions_unavailable"), Outcome::DeniedUnavailable),
        ("required", "allow", Lookup::Busy, Went::Reply(503, "sessions_busy"), Outcome::DeniedBusy),
        ("optional", "deny", session(), forward(active), Outcome::Allowed),
        ("optional", "deny", Lookup::None, forward(&[("x-status", "none")]), Outcome::Anonymous),
        ("optional", "deny", outage(), unavailable(), Outcome::Anonymous),
        ("optional", "deny", bad(), unavailable(), Outcome::Anonymous),
        ("optional", "deny", Lookup::Busy, unavailable(), Outcome::Anonymous),
    ] {
        let told = with(session_mode, failure_mode).settle(&lookup);
        assert_eq!(told.went, went, "{session_mode} {failure_mode} {lookup:?}");
        assert_eq!(told.outcomes(), [outcome], "{session_mode} {failure_mode} {lookup:?}");
    }
    assert_eq!(with("required", "deny").path("/"), REQUIRED);
    assert_eq!(with("optional", "deny").path("/"), forward(&[("x-status", "none")]));
    assert_eq!(with("off", "deny").path("/"), forward(PASS));
}

#[test]
fn only_an_outage_says_when_to_try_again() {
    let retry_after = |lookup| {
        let reply = site(json!({})).settle(&lookup).reply.unwrap();
        reply.headers.iter().any(|(name, value)| *name == "retry-after" && value == "1")
    };
    assert!(retry_after(Lookup::Outage(Outage::Dispatch)));
    assert!(!retry_after(Lookup::Bad(BadAnswer::TooLarge)));
}

#[test]
fn an_off_route_asks_nobody_even_with_a_token() {
    let cookie = format!("session-cookie={}", token_made_at(NOW_MS));
    let off = site(json!({"default": {"session": "off"}, "annotate": {"headers": {"x-status": "status"}}}));
    assert_eq!(off.judge(&[("cookie", &cookie)]), forward(PASS));
}

#[test]
fn forged_headers_go_on_every_kind_of_route() {
    for mode in ["optional", "off"] {
        let went = site(json!({"default": {"session": mode}})).judge(&[
            ("x-session-user", "root"),
            ("X_Session.User", "root"),
            ("x-session-data", "{}"),
            ("x-session-set", "{}"),
            ("x_session_kill", "1"),
            ("x-other", "stays"),
        ]);
        let removed = ["x-session-user", "X_Session.User", "x-session-data", "x-session-set", "x_session_kill"];
        assert_eq!(went, Went::Forward(removed.map(str::to_owned).to_vec(), vec![]), "{mode}");
    }
}

#[test]
fn forged_headers_are_gone_before_anything_is_decided() {
    let told = site(json!({"hosts": ["other.example"]})).begin(&[("x-session-user", "root")]);
    assert_eq!(told.went, Went::Reply(421, "unknown_host"));
    assert_eq!(told.effects.first(), Some(&Effect::RequestHeader(HeaderChange::Remove("x-session-user".into()))));
}

#[test]
fn forged_trailers_go_too() {
    let site = site(json!({"default": {"session": "off"}}));
    let trailers = Headers::from_pairs(&[("x-session-user", "root"), ("grpc-status", "0")]);
    let effects = request_trailers(&site.config, &trailers);
    assert_eq!(effects, [Effect::RequestTrailer(HeaderChange::Remove("x-session-user".into()))]);
}

#[test]
fn hosts_decide_first() {
    let site = site(json!({"hosts": ["shop.example", "*.shop.example"], "default": {"session": "off"}}));
    let host = |host: &str| site.judge(&[(":authority", host)]);
    for right in ["shop.example", "SHOP.example:8443", "shop.example.", "a.b.shop.example"] {
        assert_eq!(host(right), forward(PASS), "{right}");
    }
    for unknown in ["example", "shop.example.evil", "evilshop.example", "127.0.0.1", "[::1]:80"] {
        assert_eq!(host(unknown), Went::Reply(421, "unknown_host"), "{unknown}");
    }
    for bad in ["", "u@shop.example", "shop.example:abc", "shop.example..", "shop.example,evil.example", "a b", "[::1"]
    {
        assert_eq!(host(bad), Went::Reply(400, "bad_host"), "{bad}");
    }
}

#[test]
fn where_no_rule_names_hosts_any_authority_will_do() {
    assert_eq!(site(json!({"default": {"session": "off"}})).judge(&[(":authority", "a,b")]), forward(PASS));
}

/// What servers make of these paths is why each is refused, or is held against the rule of what it is read as.
#[test]
fn paths_that_a_server_would_read_as_another_rules_do_not_pass() {
    let site = site(json!({"rules": [
        {"match": {"paths": ["/admin/*"]}, "session": "required"},
        {"match": {"paths": ["/public/*", "/api/*"]}, "session": "off"}
    ], "default": {"session": "off"}}));
    for (server, path) in [
        ("Node's URL", "/api//%2e%2e/admin/x"),
        ("Node's URL", "//x/admin"),
        ("Node's URL", "/api/..\\admin"),
        ("Tomcat", "/public/..;%2fpublic/admin"),
        ("Tomcat", "/public/..;/admin"),
        ("Jetty", "/public/%u002e%u002e/admin"),
        ("Jetty", "/public/%2e%2e;x/admin"),
        ("a server that decodes twice", "/public/%252e%252e/admin"),
        ("a server that takes overlong UTF-8", "/public/%c0%ae%c0%ae/admin"),
        ("a server that ends paths at NUL", "/public/x%00/../admin"),
        ("IIS", "/public\\..\\admin"),
        ("a server that decodes slashes", "/%61dmin%2fx/../../public/y"),
        ("a server that merges slashes", "/x/..//admin"),
    ] {
        assert_eq!(site.path(path), Went::Reply(400, "ambiguous_path"), "{server}: {path}");
    }
    for (server, path) in
        [("Express", "/ADMIN"), ("Express", "/admin/"), ("any server", "/%61dmin"), ("Tomcat", "/admin;x=1/y")]
    {
        let went = site.path(path);
        assert!(went == REQUIRED || went == Went::Reply(400, "ambiguous_path"), "{server}: {path} {went:?}");
    }
    assert_eq!(site.path("/ADMIN"), REQUIRED);
    assert_eq!(site.path("/admin/"), REQUIRED);
    assert_eq!(site.path("/api/a%2Fb"), forward(PASS));
    assert_eq!(site.path("/public/100%25?q=/../admin"), forward(PASS));
    assert_eq!(site.path("/x%2fadmin"), forward(PASS));
}

#[test]
fn a_path_whose_readings_select_different_rules_is_refused() {
    let site = site(json!({"rules": [{"match": {"paths": ["/x/admin"]}, "session": "required"}],
                           "default": {"session": "off"}}));
    assert_eq!(site.path("/x%2fadmin"), Went::Reply(400, "ambiguous_path"));
}

#[test]
fn where_no_rule_names_paths_any_path_will_do() {
    assert_eq!(site(json!({"default": {"session": "off"}})).path("/a/../%2e%2e//b"), forward(PASS));
}

#[test]
fn requests_without_a_path_match_only_rules_without_paths() {
    let site = site(json!({"rules": [{"match": {"paths": ["/*"]}, "session": "off"}]}));
    assert_eq!(site.judge(&[(":method", "OPTIONS"), (":path", "*")]), REQUIRED);
    assert_eq!(site.judge(&[(":method", "CONNECT"), (":path", "/x")]), REQUIRED);
    assert_eq!(site.judge(&[(":path", "*")]), Went::Reply(400, "ambiguous_path"));
    assert_eq!(site.path(""), Went::Reply(400, "ambiguous_path"));
    assert_eq!(site.path("/x"), forward(PASS));
}

#[test]
fn foreign_pages_may_not_write() {
    let site = site(json!({"default": {"session": "off", "origins": ["https://friend.example"]}}));
    let post = |headers: &[(&str, &str)]| site.judge(&[&[(":method", "POST")], headers].concat());
    assert_eq!(post(&[]), forward(PASS));
    assert_eq!(post(&[("origin", "https://shop.example")]), forward(PASS));
    assert_eq!(post(&[("origin", "https://friend.example")]), forward(PASS));
    assert_eq!(post(&[("origin", "https://evil.example")]), Went::Reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "null")]), Went::Reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "http://shop.example")]), Went::Reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "http://shop.example"), ("x-forwarded-proto", "http")]), forward(PASS));
    assert_eq!(site.judge(&[("origin", "https://evil.example")]), forward(PASS));
    let upgrade = [("origin", "https://evil.example"), ("connection", "upgrade"), ("upgrade", "h2c, WebSocket")];
    assert_eq!(site.judge(&upgrade), Went::Reply(403, "bad_origin"));
}

#[test]
fn without_a_list_of_origins_nobody_asks() {
    let site = site(json!({"default": {"session": "off"}}));
    assert_eq!(site.judge(&[(":method", "POST"), ("origin", "https://evil.example")]), forward(PASS));
}

#[test]
fn scripts_of_a_listed_origin_may_read_a_refusal() {
    let site = site(json!({"default": {"session": "required", "origins": ["https://friend.example"]}}));
    let allowed = |origin: &str| {
        let reply = site.begin(&[("origin", origin)]).reply.unwrap();
        reply.headers.into_iter().find(|(name, _)| *name == "access-control-allow-origin").map(|(_, value)| value)
    };
    assert_eq!(allowed("https://friend.example").as_deref(), Some("https://friend.example"));
    assert_eq!(allowed("https://shop.example"), None);
    assert_eq!(allowed("https://evil.example"), None);
}

#[test]
fn genuine_preflights_pass_where_the_rule_lists_their_origin() {
    let preflight =
        [(":method", "OPTIONS"), ("origin", "https://friend.example"), ("access-control-request-method", "PUT")];
    let listed = site(json!({"default": {"session": "required", "origins": ["https://friend.example"]}}));
    let told = listed.begin(&preflight);
    assert_eq!((told.went, told.effects.len()), (forward(PASS), 4));
    assert_eq!(site(json!({})).judge(&preflight), REQUIRED);
    assert_eq!(site(json!({"cors_preflight": "pass"})).judge(&preflight), forward(PASS));
    let pass = site(json!({"cors_preflight": "pass"}));
    let token = format!("session-cookie={}", token_made_at(NOW_MS));
    let other = format!("session-cookie={}", token_made_at(NOW_MS - 1));
    for (what, more) in [
        ("a token", vec![("cookie", token.as_str())]),
        ("two origins", vec![("origin", "https://friend.example")]),
        ("two methods", vec![("access-control-request-method", "PUT")]),
    ] {
        let went = pass.judge(&[&preflight[..], &more].concat());
        assert_ne!(went, forward(PASS), "{what}");
    }
    let joined = [(":method", "OPTIONS"), preflight[1], ("access-control-request-method", "PUT,PUT")];
    assert_eq!(pass.judge(&joined), REQUIRED);
    let conflict = [&preflight[..], &[("cookie", &token), ("cookie", &other)]].concat();
    assert_eq!(pass.judge(&conflict), REQUIRED);
    assert_eq!(pass.judge(&preflight[..2]), REQUIRED);
}

#[test]
fn a_conflict_of_tokens_is_no_token_and_is_counted() {
    let lines = [token_made_at(NOW_MS), token_made_at(NOW_MS - 1)].map(|token| format!("session-cookie={token}"));
    let told = site(json!({})).begin(&[("cookie", &lines[0]), ("cookie", &lines[1])]);
    assert_eq!(told.went, REQUIRED);
    assert!(told.effects.contains(&Effect::Count(Counter::Conflicts)));
    assert_eq!(told.outcomes(), [Outcome::DeniedNoSession]);
}

#[test]
fn the_session_of_the_token_is_asked_for_as_its_rule_says() {
    let site = site(json!({"rules": [{"match": {"paths": ["/b"]}, "session": "required", "app": "backoffice",
                                      "rest_sessions": {"cluster": "other"}}]}));
    let token = token_made_at(NOW_MS);
    let told = site.begin(&[(":path", "/b"), ("cookie", &format!("session-cookie={token}"))]);
    let exchange = told.asks.unwrap();
    assert_eq!(exchange.token().reveal(), token);
    assert_eq!((&*exchange.rule().realm.app, &*exchange.rule().service.cluster), ("backoffice", "other"));
}

#[test]
fn a_session_that_is_too_large_is_never_passed_on_in_part() {
    let annotate = json!({"headers": {"x-session-user": "id", "x-status": "status"}, "max_bytes": 12});
    let required = site(json!({"annotate": annotate})).settle(&session());
    assert_eq!(required.went, Went::Reply(500, "session_too_large"));
    assert_eq!(required.outcomes(), [Outcome::SessionTooLarge]);
    let optional = site(json!({"annotate": annotate, "default": {"session": "optional"}})).settle(&session());
    assert_eq!(optional.went, forward(&[("x-status", "unavailable")]));
    assert_eq!(optional.outcomes(), [Outcome::SessionTooLarge]);
}

#[test]
fn upstreams_do_not_see_the_token_where_they_may_not() {
    let site = site(json!({"forward_token": false, "default": {"session": "required"}}));
    let cookie = format!("a=1; session-cookie={}", token_made_at(NOW_MS));
    let told = site.begin(&[("cookie", &cookie)]);
    let changes: Vec<_> = told.effects.iter().filter(|effect| matches!(effect, Effect::RequestHeader(_))).collect();
    assert_eq!(
        changes,
        [
            &Effect::RequestHeader(HeaderChange::Remove("cookie".into())),
            &Effect::RequestHeader(HeaderChange::Add("cookie".into(), "a=1".into())),
        ]
    );
}

#[test]
fn filter_state_tells_the_decision() {
    let told = site(json!({"rules": [{"name": "some", "match": {"paths": ["/somewhere"]}, "session": "required"}]}))
        .settle(&session());
    for (key, value) in [
        (FilterState::Decision, "allow"),
        (FilterState::Reason, "session"),
        (FilterState::Rule, "some"),
        (FilterState::User, "user123"),
        (FilterState::Source, "cookie:session-cookie"),
    ] {
        assert_eq!(told.filter_state(key), Some(value));
    }
    let denied = site(json!({})).settle(&Lookup::None);
    assert_eq!(denied.filter_state(FilterState::Decision), Some("deny"));
    assert_eq!(denied.filter_state(FilterState::User), None);
    let silent = site(json!({"filter_state": false})).settle(&session());
    assert_eq!(silent.filter_state(FilterState::Decision), None);
}

#[test]
fn the_time_is_asked_for_where_a_token_tells_when_it_was_made_and_nowhere_else() {
    let asked = |session: &str, cookie: &str| {
        let site = site(json!({"default": {"session": session}}));
        let times = std::cell::Cell::new(0);
        let now_ms = || {
            times.set(times.get() + 1);
            NOW_MS
        };
        let around = Surroundings { now_ms: &now_ms, ..site.around() };
        let headers = [(":method", "GET"), (":path", "/"), (":authority", "shop.example"), ("cookie", cookie)];
        let _ = request_headers(around, &Headers::from_pairs(&headers), true);
        times.get()
    };
    let token = format!("session-cookie={}", token_made_at(NOW_MS));
    assert_eq!(asked("off", &token), 0);
    assert_eq!(asked("required", "theme=dark"), 0);
    assert_eq!(asked("required", &token), 1);
}

#[test]
fn a_token_is_in_no_effect() {
    let site = site(json!({}));
    let token = token_made_at(NOW_MS - 42_000);
    for lookup in [session(), Lookup::None, Lookup::Outage(Outage::Connect)] {
        let told = site.settle(&lookup);
        assert!(!format!("{:?}", told.effects).contains(&token));
    }
}

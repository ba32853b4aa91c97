//! Whatever happens, in whatever order: nobody gets another's session, nobody waits for ever, everybody counts once.

use super::emulator::{Ending, Farewell, Request, Stream, Vm};
use super::{NONE, session_of, three_routes, token};
use proptest::prelude::*;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Required,
    Optional,
    Off,
}

/// Something that a client, an upstream, rest-sessions or the clock does. Places are taken modulo what is there.
#[derive(Clone, Debug)]
enum Happening {
    Request {
        route: Route,
        token: Option<u32>,
        body: bool,
    },
    /// A new stream under the id of one that is gone.
    Heir {
        place: usize,
        token: u32,
    },
    Answer {
        place: usize,
        answer: Answer,
    },
    Leave {
        place: usize,
    },
    Body {
        place: usize,
    },
    Trailers {
        place: usize,
    },
    Upstream {
        place: usize,
    },
    Time {
        ms: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    /// The session of the token that was asked for.
    Active,
    None,
    Junk,
    Failing,
    Refused,
    Reset,
}

fn happening() -> impl Strategy<Value = Happening> {
    let route = prop_oneof![Just(Route::Required), Just(Route::Optional), Just(Route::Off)];
    let answer = prop_oneof![
        4 => Just(Answer::Active),
        2 => Just(Answer::None),
        1 => Just(Answer::Junk),
        1 => Just(Answer::Failing),
        1 => Just(Answer::Refused),
        1 => Just(Answer::Reset),
    ];
    let place = any::<usize>();
    let token = 0u32..4;
    prop_oneof![
        6 => (route, proptest::option::weighted(0.8, token.clone()), any::<bool>())
            .prop_map(|(route, token, body)| Happening::Request { route, token, body }),
        3 => (place, token).prop_map(|(place, token)| Happening::Heir { place, token }),
        6 => (place, answer).prop_map(|(place, answer)| Happening::Answer { place, answer }),
        3 => place.prop_map(|place| Happening::Leave { place }),
        2 => place.prop_map(|place| Happening::Body { place }),
        2 => place.prop_map(|place| Happening::Trailers { place }),
        2 => place.prop_map(|place| Happening::Upstream { place }),
        2 => (0u64..400).prop_map(|ms| Happening::Time { ms }),
    ]
}

/// A request as its client knows it.
struct Client {
    stream: Stream,
    route: Route,
    token: Option<u32>,
    /// It may still send.
    open: bool,
}

struct Storm {
    vm: Vm,
    clients: Vec<Client>,
}

impl Storm {
    fn begin(&mut self, route: Route, token_of: Option<u32>, body: bool, heir_of: Option<Stream>) {
        let path = match route {
            Route::Required => "/a",
            Route::Optional => "/optional/a",
            Route::Off => "/off/a",
        };
        let mut request = Request::new(if body { "POST" } else { "GET" }, path).header("X_Session.User", "forged");
        if let Some(number) = token_of {
            request = request.token(&token(number));
        }
        let stream = match heir_of {
            Some(gone) => self.vm.request_as(gone, request),
            None if body => self.vm.request_with_body(request),
            None => self.vm.request(request),
        };
        self.clients.push(Client { stream, route, token: token_of, open: body });
    }

    fn pick(&mut self, place: usize, fits: impl Fn(&Client) -> bool) -> Option<&mut Client> {
        let mut fitting: Vec<_> = self.clients.iter_mut().filter(|client| fits(client)).collect();
        let count = fitting.len();
        (count > 0).then(|| fitting.swap_remove(place % count))
    }

    fn happens(&mut self, what: &Happening) {
        match *what {
            Happening::Request { route, token, body } => self.begin(route, token, body, None),
            Happening::Heir { place, token } => {
                let in_use: Vec<_> =
                    self.clients.iter().filter(|c| !c.stream.is_gone()).map(|c| c.stream.context()).collect();
                // The id of one that left while it waited is the one that an answer may still come for.
                let waited = |c: &Client| !c.stream.passed() && c.stream.reply().is_none();
                let gone =
                    self.pick(place, |c| c.stream.is_gone() && waited(c) && !in_use.contains(&c.stream.context()));
                if let Some(gone) = gone.map(|client| client.stream) {
                    self.begin(Route::Required, Some(token), false, Some(gone));
                }
            }
            Happening::Answer { place, answer } => self.answer(place, answer),
            Happening::Leave { place } => {
                if let Some(client) = self.pick(place, |client| !client.stream.is_gone()) {
                    client.stream.leaves();
                }
            }
            Happening::Body { place } => {
                if let Some(client) = self.pick(place, |client| client.open && !client.stream.is_gone()) {
                    client.stream.sends(b"piece", false);
                }
            }
            Happening::Trailers { place } => {
                if let Some(client) = self.pick(place, |client| client.open && !client.stream.is_gone()) {
                    client.open = false;
                    client.stream.sends_trailers([("x-session-data", "forged"), ("x-kept", "1")]);
                }
            }
            Happening::Upstream { place } => {
                let answers = |client: &Client| !client.stream.is_gone() && client.stream.passed() && !client.open;
                if let Some(client) = self.pick(place, answers) {
                    client.stream.is_answered(200);
                }
            }
            Happening::Time { ms } => self.vm.advance(Duration::from_millis(ms)),
        }
    }

    fn answer(&mut self, place: usize, answer: Answer) {
        let calls = self.vm.calls();
        let Some(call) = (!calls.is_empty()).then(|| &calls[place % calls.len()]) else { return };
        let asked = (0..4).find(|number| call.path().ends_with(&token(*number))).expect("the call bears a token");
        match answer {
            Answer::Active => self.vm.answer(call, 200, session_of(&format!("user{asked}"))),
            Answer::None => self.vm.answer(call, 200, NONE),
            Answer::Junk => self.vm.answer(call, 200, "junk"),
            Answer::Failing => self.vm.answer(call, 500, "{}"),
            Answer::Refused => self.vm.refuse_connection(call),
            Answer::Reset => self.vm.reset(call),
        }
    }

    fn check(&self) {
        for client in &self.clients {
            let Client { stream, route, token, .. } = client;
            if stream.passed() {
                let user = stream.upstream("x-session-user");
                let own = token.map(|number| format!("user{number}"));
                assert!(user.is_none() || user == own, "{user:?} for {own:?}");
                assert!(*route != Route::Off || user.is_none());
                assert!(*route != Route::Required || user.is_some(), "a required session was passed by");
                assert!(stream.upstream_headers().iter().all(|(_, value)| value != b"forged"));
            } else {
                assert!(stream.upstream_body().is_empty() && stream.upstream_trailers().is_none());
            }
            assert!(stream.reply().is_none() || *route == Route::Required, "only a required session is denied");
            let trailers = stream.upstream_trailers().unwrap_or_default();
            assert!(trailers.iter().all(|(_, value)| value != b"forged"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_anothers_session_and_nobody_waits_for_ever(
        happenings in proptest::collection::vec(happening(), 1..60),
        ending in prop_oneof![Just(Ending::AtOnce), Just(Ending::Later), Just(Ending::ByTest)],
        farewell in prop_oneof![Just(Farewell::LogFirst), Just(Farewell::DoneFirst)],
        keeps_deleted in any::<bool>(),
        max_in_flight in 1u32..6,
    ) {
        let mut config = three_routes();
        config["rest_sessions"]["max_in_flight"] = max_in_flight.into();
        let mut vm = Vm::with_config(config);
        vm.set_ending(ending);
        vm.set_farewell(farewell);
        if keeps_deleted {
            vm.keep_deleted_contexts();
        }
        let mut storm = Storm { vm, clients: Vec::new() };
        for happening in &happenings {
            storm.happens(happening);
            storm.check();
            prop_assert!(storm.vm.gauge("in_flight") == storm.vm.calls().len() as u64);
        }
        storm.vm.advance(Duration::from_millis(500));
        storm.check();
        prop_assert!(storm.vm.calls().is_empty());
        prop_assert!(storm.clients.iter().all(|client| !client.stream.is_paused()));
        prop_assert_eq!(storm.vm.gauge("in_flight"), 0);
    }
}

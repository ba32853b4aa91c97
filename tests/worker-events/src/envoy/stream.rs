//! One stream as Envoy has it: its header maps, and what has become of it.

use rest_sessions_core::action::StreamRef;
use rest_sessions_core::http::change::HeaderChange;

use super::Known;
use crate::event::{Change, Origin, Place, Request};
use crate::store::{Store, TOKENS};

pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The names that are the filter's, in the form that [`normal`] gives them.
const RESERVED: [&[u8]; 4] = [b"x-session-user", b"x-session-data", b"x-session-set", b"x-session-kill"];

/// The spelling that all spellings of a name have in common.
fn normal(name: &[u8]) -> Vec<u8> {
    let byte = |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.iter().map(byte).collect()
}

/// How far a request or a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is paused.
    Waits,
    GoesOn,
    Replied,
}

pub struct Stream {
    pub stream: StreamRef,
    pub request: Pairs,
    pub response: Pairs,
    /// The numbers of the tokens that it carries where the filter looks.
    carried: Vec<usize>,
    arrived_step: usize,
    arrived_ms: u64,
    /// Values of reserved headers that the filter set.
    set: Pairs,
    pub request_phase: Phase,
    /// `None`: the upstream has not responded.
    pub response_phase: Option<Phase>,
    pub has_ended: bool,
    pub is_closed: bool,
}

impl Stream {
    pub fn new(stream: StreamRef, request: &Request, known: &Known) -> Self {
        Self {
            stream,
            request: headers(request, known),
            response: Vec::new(),
            carried: carried(request),
            arrived_step: known.step,
            arrived_ms: known.now_ms,
            set: Vec::new(),
            request_phase: Phase::Waits,
            response_phase: None,
            has_ended: false,
            is_closed: false,
        }
    }

    pub fn change_request(&mut self, change: HeaderChange, known: &Known) {
        assert_eq!(self.request_phase, Phase::Waits, "a request is changed that is not paused");
        if let HeaderChange::Add(name, value) | HeaderChange::Replace(name, value) = &change {
            if normal(name) == RESERVED[0] {
                self.check_user(value, known);
            }
            if RESERVED.contains(&&normal(name)[..]) {
                self.set.push((name.to_vec(), value.to_vec()));
            } else if **name != *b"cookie" && **name != *b":path" && **name != *b"authorization" {
                known.assert_no_token(value, "a header that the filter sets");
            }
        }
        change.apply(&mut self.request);
    }

    /// Whether the request may be annotated as this user.
    fn check_user(&self, value: &[u8], known: &Known) {
        let number = (0..TOKENS).find(|number| Store::user(*number).as_bytes() == value);
        let number = number.unwrap_or_else(|| panic!("a request is annotated as {value:?}"));
        assert!(self.carried.contains(&number), "user {number} without its token: {:?}", self.carried);
        let (active_ms, active_step) = known.active[number].expect("the store never said that it is active");
        // A cached session is taken when the request comes, also if it then waits for the lookups of its other tokens.
        let is_alone = self.carried.iter().all(|other| *other == number);
        let taken_ms = if is_alone { known.now_ms } else { self.arrived_ms };
        let is_recent = taken_ms.saturating_sub(active_ms) <= known.promises.may_serve_ms;
        let came_after = active_step >= self.arrived_step;
        assert!(came_after || (is_recent && known.promises.may_serve_ms > 0), "user {number} by an old answer");
        if let Some(ended) = known.ended[number] {
            assert!(ended >= self.arrived_step, "user {number} after the end of the session");
        }
    }

    pub fn request_goes_on(&mut self, known: &Known) {
        assert_eq!(self.request_phase, Phase::Waits, "a request goes on that is not paused");
        self.request_phase = Phase::GoesOn;
        for (name, value) in &self.request {
            if RESERVED.contains(&&normal(name)[..]) {
                assert!(self.set.contains(&(name.clone(), value.clone())), "{name:?} is forged");
            }
        }
        let looked_for =
            self.request.iter().filter(|(name, value)| name == b"authorization" || is_session_cookie(name, value));
        let is_shadow = self.request.iter().any(|(name, value)| name == b":path" && value == b"/shadow");
        if !known.promises.forward_token && !is_shadow {
            looked_for.for_each(|(_, value)| known.assert_no_token(value, "a request without its token"));
        }
    }

    /// A local reply takes the place of what is paused.
    pub fn is_replied(&mut self) {
        let phase = match &mut self.response_phase {
            Some(phase) => phase,
            None => &mut self.request_phase,
        };
        assert_eq!(*phase, Phase::Waits, "a local reply to what is not paused");
        *phase = Phase::Replied;
    }

    pub fn response_goes_on(&mut self) {
        assert_eq!(self.response_phase, Some(Phase::Waits), "a response goes on that is not paused");
        self.response_phase = Some(Phase::GoesOn);
        for (name, _) in &self.response {
            assert!(!RESERVED[2..].contains(&&normal(name)[..]), "{name:?} reaches the client");
        }
    }

    pub fn responds(&mut self, change: Option<Change>) {
        self.response = vec![(b":status".to_vec(), b"200".to_vec())];
        self.response.extend(change.map(Change::header).map(|(name, value)| (name.into(), value.into())));
        self.response_phase = Some(Phase::Waits);
    }

    pub fn may_respond(&self) -> bool {
        self.request_phase == Phase::GoesOn && self.response_phase.is_none() && !self.has_ended && !self.is_closed
    }

    pub fn is_waiting(&self) -> bool {
        let waits = self.request_phase == Phase::Waits || self.response_phase == Some(Phase::Waits);
        waits && !self.has_ended && !self.is_closed
    }

    pub fn assert_does_not_wait(&self) {
        let (request, response) = (self.request_phase, self.response_phase);
        assert!(!self.is_waiting(), "a stream waits for ever: request {request:?}, response {response:?}");
    }
}

fn is_session_cookie(name: &[u8], value: &[u8]) -> bool {
    name == b"cookie" && value.starts_with(b"session-cookie=")
}

impl Known {
    pub fn assert_no_token(&self, text: &[u8], what: &str) {
        let has = |token: &String| text.windows(token.len()).any(|part| part == token.as_bytes());
        assert!(!self.tokens.iter().any(has), "a token is in {what}");
    }
}

fn carried(request: &Request) -> Vec<usize> {
    let counts = request.tokens.iter().filter(|carried| !matches!(carried.place, Place::OtherCookie));
    counts.map(|carried| usize::from(carried.token) % TOKENS).collect()
}

fn headers(request: &Request, known: &Known) -> Pairs {
    let mut headers: Pairs = Vec::new();
    let mut add = |name: &str, value: &str| headers.push((name.into(), value.into()));
    add(":method", request.method.text());
    add(":scheme", "https");
    add(":authority", "shop.example");
    add(":path", request.path.text());
    let mut line = String::new();
    for carried in &request.tokens {
        let token = &known.tokens[usize::from(carried.token) % TOKENS];
        match carried.place {
            Place::Cookie => add("cookie", &format!("session-cookie={token}")),
            Place::QuotedCookie => add("cookie", &format!("session-cookie=\"{token}\"")),
            Place::SameCookieLine => line.push_str(&format!("session-cookie={token}; ")),
            Place::Bearer => add("authorization", &format!("bearer {token}")),
            Place::OtherCookie => add("cookie", &format!("other={token}")),
        }
    }
    if !line.is_empty() {
        add("cookie", line.trim_end_matches("; "));
    }
    for spoofed in &request.spoofed {
        add(spoofed.name(), "user-0");
    }
    if request.is_navigation {
        add("sec-fetch-mode", "navigate");
    }
    if request.is_upgrade {
        add("upgrade", "websocket");
    }
    match request.origin {
        Some(Origin::Own) => add("origin", "https://shop.example"),
        Some(Origin::Foreign) => add("origin", "https://evil.example"),
        Some(Origin::Null) => add("origin", "null"),
        Some(Origin::FetchMetadata) => add("sec-fetch-site", "cross-site"),
        None => {}
    }
    headers
}

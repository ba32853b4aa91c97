//! What may happen to the workers, as bytes describe it.

use arbitrary::Arbitrary;

/// One event. Indexes count modulo what there is.
#[derive(Debug, Arbitrary)]
pub enum Event {
    Request {
        worker: bool,
        request: Request,
    },
    /// A call is answered.
    Answer {
        worker: bool,
        call: u8,
        answer: Answer,
    },
    /// The upstream's response comes.
    UpstreamResponds {
        worker: bool,
        stream: u8,
        change: Option<Change>,
    },
    /// The host refuses calls, or takes them again.
    RefuseCalls(bool),
    RefuseWakeups(bool),
    /// The host refuses to change header maps of requests, or of responses.
    RefuseChanges(Option<bool>),
    /// The client leaves, or the response is over.
    End {
        worker: bool,
        stream: u8,
    },
    WakeUp {
        worker: bool,
    },
    Tick {
        worker: bool,
    },
    Advance {
        ms: u16,
    },
    /// A session ends at the store, where no worker sees it.
    EndAtStore {
        token: u8,
    },
}

#[derive(Debug, Arbitrary)]
pub struct Request {
    pub path: Path,
    pub method: Method,
    pub tokens: Vec<Carried>,
    pub spoofed: Vec<Spoofed>,
    pub is_navigation: bool,
    pub is_upgrade: bool,
    pub origin: Option<Origin>,
}

/// A token of the store, and how the request carries it.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub struct Carried {
    pub token: u8,
    pub place: Place,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Place {
    Cookie,
    QuotedCookie,
    SameCookieLine,
    Bearer,
    /// Where the filter does not look.
    OtherCookie,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Path {
    Root,
    Optional,
    Off,
    Shadow,
    Own,
    Logout,
    Encoded,
    Ambiguous,
}

impl Path {
    pub fn text(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Optional => "/optional?a=b",
            Self::Off => "/off",
            Self::Shadow => "/shadow",
            Self::Own => "/own",
            Self::Logout => "/logout",
            Self::Encoded => "/%61",
            Self::Ambiguous => "/x%2foff;/../own",
        }
    }
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Method {
    Get,
    Post,
    Delete,
    Lower,
    Options,
}

impl Method {
    pub fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Lower => "delete",
            Self::Options => "OPTIONS",
        }
    }
}

/// A header that only the filter may set.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Spoofed {
    User,
    UserWithUnderscore,
    UserWithDot,
    Data,
    Set,
    Kill,
}

impl Spoofed {
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "x-session-user",
            Self::UserWithUnderscore => "x_session_user",
            Self::UserWithDot => "x-session.user",
            Self::Data => "x-session-data",
            Self::Set => "x-session-set",
            Self::Kill => "x-session-kill",
        }
    }
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Origin {
    Own,
    Foreign,
    Null,
    FetchMetadata,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Answer {
    /// As the store has it.
    True,
    /// The same, of a session that was idle for 3 seconds.
    Idle,
    Status(u16),
    Malformed,
    TooLarge,
    Timeout,
    Reset,
}

/// What a response asks to be changed.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Change {
    Set,
    Kill,
    Nonsense,
}

impl Change {
    pub fn header(self) -> (&'static str, &'static str) {
        match self {
            Self::Set => ("x-session-set", r#"{"a":1}"#),
            Self::Kill => ("x-session-kill", "1"),
            Self::Nonsense => ("x-session-set", "{"),
        }
    }
}

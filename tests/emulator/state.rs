//! What the host knows: contexts, calls, time, metrics, shared data, queues, log lines, and what was done wrong.

use super::abi::{Pairs, readable};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

/// The level of a log line, as the ABI numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

/// A root context: one configuration of the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root(pub u32);

/// What a cluster does with a call at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// Calls are accepted, and answered when the test says so.
    Healthy,
    /// No endpoints, or its circuit breaker is open: refused as an internal failure.
    NoEndpoints,
}

/// When a stream whose response is complete goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Inside the action that sent the last byte, as Envoy does where the whole request has been read.
    AtOnce,
    /// Once the event that completed the response is over.
    Later,
    /// Never by itself: the test lets the client leave.
    ByTest,
}

/// The order of a stream's last callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Log, done, delete: what Envoy does, since access logs are written before filters are destroyed.
    LogFirst,
    /// Done, log, delete: what the ABI's specification says.
    DoneFirst,
}

/// One of the two directions of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

/// A local reply as the filter passed it to the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u32,
    pub headers: Pairs,
    pub body: Vec<u8>,
    /// −1 where the filter named none.
    pub grpc_status: i32,
    pub details: Vec<u8>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body, grpc_status, .. } = self;
        let body = String::from_utf8_lossy(body);
        write!(f, "{status} (gRPC {grpc_status}) {} {body}", readable(headers))
    }
}

/// What a callback asked for, done after it.
pub enum Action {
    Resume { stream: usize, side: Side },
    Reply { stream: usize, reply: Reply },
    Close { stream: usize },
}

/// The callback that is running, and the context that its host calls are for.
pub struct Running {
    pub name: &'static str,
    pub context: u32,
    pub effective: u32,
}

/// A call to a cluster, as it was dispatched.
#[derive(Clone)]
pub struct Call {
    pub id: u32,
    pub root: Root,
    pub cluster: String,
    pub headers: Pairs,
    pub body: Vec<u8>,
    /// `None`: the host waits for ever.
    pub timeout: Option<Duration>,
    pub started: Duration,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, root, cluster, headers, timeout, started, .. } = self;
        write!(f, "call {id} of {root:?} to {cluster} at {started:?} for {timeout:?}: {}", readable(headers))
    }
}

impl Call {
    pub fn header(&self, name: &str) -> Option<String> {
        super::abi::first(&self.headers, name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub fn path(&self) -> String {
        self.header(":path").expect("the host accepts no call without a path")
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.timeout.map(|timeout| self.started + timeout)
    }
}

/// A call's answer while its callback runs; a reset has neither.
#[derive(Default)]
pub struct Answer {
    pub headers: Option<Pairs>,
    pub body: Option<Vec<u8>>,
}

/// One direction of a stream: what waits, what has passed, and which maps the filter may touch.
#[derive(Default)]
pub struct Half {
    pub headers: Pairs,
    pub trailers: Pairs,
    pub headers_visible: bool,
    pub trailers_visible: bool,
    /// The piece of the body that the running callback may read.
    pub piece: Option<Vec<u8>>,
    pub paused: bool,
    /// What arrived while the stream was paused.
    pub waiting: VecDeque<Part>,
    pub passed_headers: Option<Pairs>,
    pub passed_body: Vec<u8>,
    pub passed_trailers: Option<Pairs>,
    pub complete: bool,
}

/// What follows the headers of a message.
pub enum Part {
    Body { bytes: Vec<u8>, last: bool },
    Trailers(Pairs),
}

/// A stream, kept for reading after it is gone.
pub struct StreamState {
    pub context: u32,
    pub root: u32,
    pub request: Half,
    pub response: Half,
    pub reply: Option<Reply>,
    /// The VM has a context of it.
    pub alive: bool,
    /// Its `on_log` runs: all maps can be read.
    pub logging: bool,
    pub may_stay_paused: bool,
    pub filter_state: BTreeMap<String, Vec<u8>>,
}

impl StreamState {
    /// The map of one of the ABI's numbers, and whether the filter may touch it now.
    pub fn map(&mut self, map_type: u32) -> Option<(bool, &mut Pairs)> {
        match map_type {
            0 => Some((self.request.headers_visible, &mut self.request.headers)),
            1 => Some((self.request.trailers_visible, &mut self.request.trailers)),
            2 => Some((self.response.headers_visible, &mut self.response.headers)),
            3 => Some((self.response.trailers_visible, &mut self.response.trailers)),
            _ => None,
        }
    }
}

/// What a context id stands for; an entry lives as long as the host's own object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Root,
    Stream(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    Counter(u64),
    Gauge(u64),
    Histogram(Vec<u64>),
}

pub struct Queue {
    pub name: Vec<u8>,
    pub root: u32,
    pub items: VecDeque<Vec<u8>>,
    pub announced: bool,
}

pub struct Host {
    pub contexts: BTreeMap<u32, Owner>,
    pub streams: Vec<StreamState>,
    /// Streams whose response is complete while `Ending::Later` holds.
    pub ending_later: Vec<usize>,
    /// Contexts that the VM has deleted while the host still keeps its object.
    pub lingering: Vec<u32>,
    pub keep_lingering: bool,
    /// Changes of headers and trailers are refused although their map is there.
    pub refuse_changes: bool,
    pub running: Option<Running>,
    /// How many callbacks run, one inside the other.
    pub depth: usize,
    pub stop_iteration: bool,
    pub actions: VecDeque<Action>,
    pub ending: Ending,
    pub farewell: Farewell,
    pub clusters: BTreeMap<String, Cluster>,
    pub calls: BTreeMap<u32, Call>,
    pub answer: Option<Answer>,
    pub configuration: Option<Vec<u8>>,
    pub now: Duration,
    pub ticks: BTreeMap<u32, (Duration, Duration)>,
    pub metric_names: Vec<(u32, String)>,
    pub metrics: BTreeMap<String, Metric>,
    pub shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    pub queues: Vec<Queue>,
    pub log_level: Level,
    pub log: Vec<(Level, String)>,
    pub refusals: Vec<String>,
    pub violations: Vec<String>,
    pub secrets: BTreeSet<String>,
    pub requests: u64,
    pub dispatched: u64,
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// 2024-01-01, so that the creation times in tokens of tests can lie before and after.
const START: Duration = Duration::from_secs(1_704_067_200);

impl Host {
    fn new() -> Self {
        Self {
            contexts: BTreeMap::new(),
            streams: Vec::new(),
            ending_later: Vec::new(),
            lingering: Vec::new(),
            keep_lingering: false,
            refuse_changes: false,
            running: None,
            depth: 0,
            stop_iteration: false,
            actions: VecDeque::new(),
            ending: Ending::AtOnce,
            farewell: Farewell::LogFirst,
            clusters: BTreeMap::new(),
            calls: BTreeMap::new(),
            answer: None,
            configuration: None,
            now: START,
            ticks: BTreeMap::new(),
            metric_names: Vec::new(),
            metrics: BTreeMap::new(),
            shared: BTreeMap::new(),
            queues: Vec::new(),
            log_level: Level::Trace,
            log: Vec::new(),
            refusals: Vec::new(),
            violations: Vec::new(),
            secrets: BTreeSet::new(),
            requests: 0,
            dispatched: 0,
            properties: BTreeMap::new(),
        }
    }

    /// The context that host calls are for: the effective one if the host still has it, else the running callback's.
    pub fn target(&self) -> u32 {
        self.running.as_ref().map_or(0, |running| match running.effective {
            0 => running.context,
            effective if self.contexts.contains_key(&effective) => effective,
            _ => running.context,
        })
    }

    /// The stream that host calls are for, if they are for one.
    pub fn target_stream(&self) -> Option<usize> {
        match self.contexts.get(&self.target()) {
            Some(Owner::Stream(stream)) => Some(*stream),
            _ => None,
        }
    }

    pub fn violation(&mut self, what: impl AsRef<str>) {
        let place = self.place();
        self.violations.push(format!("{} ({place})", what.as_ref()));
    }

    pub fn refusal(&mut self, what: impl AsRef<str>) {
        let place = self.place();
        self.refusals.push(format!("{} ({place})", what.as_ref()));
    }

    /// Where the VM is, for messages.
    pub fn place(&self) -> String {
        self.running.as_ref().map_or_else(
            || "between callbacks".to_owned(),
            |running| format!("in {} of context {}, acting on {}", running.name, running.context, self.target()),
        )
    }

    /// Remembers every token in a message, so that the checks can look for it where it must not be.
    pub fn remember_secrets(&mut self, map: &Pairs) {
        for (_, value) in map {
            for run in value.split(|byte| !byte.is_ascii_alphanumeric()).filter(|run| run.len() == 64) {
                self.secrets.insert(String::from_utf8_lossy(run).into_owned());
            }
        }
    }
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::new());
    /// Ids go on where the last VM of this thread ended, since the SDK's tables belong to the thread.
    static NEXT_CONTEXT: RefCell<u32> = const { RefCell::new(1) };
    static NEXT_CALL: RefCell<u32> = const { RefCell::new(1) };
}

/// Reads or changes the host. Never across a call into the VM, which comes back through the host calls.
pub fn with<T>(act: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with(|host| act(&mut host.borrow_mut()))
}

/// For the panic hook alone, which may find the host in use.
pub fn peek<T>(read: impl FnOnce(&Host) -> T) -> Option<T> {
    HOST.try_with(|host| host.try_borrow().ok().map(|host| read(&host))).ok().flatten()
}

/// Forgets everything: a new host for the next VM of this thread.
pub fn renew() {
    with(|host| *host = Host::new());
}

pub fn next_context() -> u32 {
    NEXT_CONTEXT.with(|next| next.replace_with(|id| *id + 1))
}

pub fn next_call() -> u32 {
    NEXT_CALL.with(|next| next.replace_with(|id| *id + 1))
}

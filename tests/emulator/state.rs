//! The state of the host: contexts, calls, time, metrics, shared data, queues, log lines and violations.

use super::abi::{Pairs, display};
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

/// How a cluster takes a call at dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Calls are accepted; the test decides about their responses.
    Healthy,
    /// The cluster has no endpoints, or its circuit breaker is open: calls are refused with an internal failure.
    NoEndpoints,
}

/// When a stream is destroyed whose response is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamDestruction {
    /// Inside the action that sent the last byte, as Envoy does where the whole request has been read.
    Immediate,
    /// After the event that completed the response.
    Deferred,
    /// When the test disconnects the client.
    Manual,
}

/// The order of the final callbacks of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalCallbackOrder {
    /// Log, done, delete: Envoy's order, since it writes access logs before it destroys filters.
    LogFirst,
    /// Done, log, delete: the order of the ABI's specification.
    DoneFirst,
}

/// The two directions of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Request,
    Response,
}

/// A local reply, as the filter passed it to the host.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalReply {
    pub status: u32,
    pub headers: Pairs,
    pub body: Vec<u8>,
    /// −1 where the filter gave none.
    pub grpc_status: i32,
    pub details: Vec<u8>,
}

impl fmt::Debug for LocalReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body, grpc_status, .. } = self;
        let body = String::from_utf8_lossy(body);
        write!(f, "{status} (gRPC {grpc_status}) {} {body}", display(headers))
    }
}

/// What a callback requested; the host does it after the callback.
pub enum Action {
    Resume { stream: usize, direction: Direction },
    Reply { stream: usize, reply: LocalReply },
    Close { stream: usize },
}

/// The running callback, and the effective context of its host calls; 0 where it set none.
pub struct CurrentCallback {
    pub name: &'static str,
    pub context: u32,
    pub effective: u32,
}

/// An HTTP call to a cluster, as it was dispatched.
#[derive(Clone)]
pub struct Call {
    pub id: u32,
    pub root: Root,
    pub cluster: String,
    pub headers: Pairs,
    pub body: Vec<u8>,
    /// `None`: the host waits forever.
    pub timeout: Option<Duration>,
    pub started: Duration,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, root, cluster, headers, timeout, started, .. } = self;
        write!(f, "call {id} of {root:?} to {cluster} at {started:?} for {timeout:?}: {}", display(headers))
    }
}

impl Call {
    pub fn header(&self, name: &str) -> Option<String> {
        super::abi::first(&self.headers, name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub fn path(&self) -> String {
        self.header(":path").expect("the host refuses calls without a path")
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.timeout.map(|timeout| self.started + timeout)
    }
}

/// The response to a call, while its callback runs. A reset has neither headers nor body.
#[derive(Default)]
pub struct CallResponse {
    pub headers: Option<Pairs>,
    pub body: Option<Vec<u8>>,
}

/// One direction of a stream: what is buffered, what has passed, and which maps the filter may access.
#[derive(Default)]
pub struct Message {
    pub headers: Pairs,
    pub trailers: Pairs,
    pub headers_visible: bool,
    pub trailers_visible: bool,
    /// The chunk of the body that the running callback may access.
    pub chunk: Option<Vec<u8>>,
    pub paused: bool,
    /// The frames that arrived while the message was paused.
    pub buffered: VecDeque<Frame>,
    pub passed_headers: Option<Pairs>,
    pub passed_body: Vec<u8>,
    pub passed_trailers: Option<Pairs>,
    pub complete: bool,
}

/// A part of a message after its headers.
pub enum Frame {
    Body { bytes: Vec<u8>, end_of_stream: bool },
    Trailers(Pairs),
}

/// A stream, kept for tests to read after it is gone.
pub struct StreamState {
    pub context: u32,
    pub root: u32,
    pub request: Message,
    pub response: Message,
    pub reply: Option<LocalReply>,
    /// The VM has a context for it.
    pub alive: bool,
    /// Its `on_log` is running: all maps can be read.
    pub logging: bool,
    pub may_stay_paused: bool,
    pub filter_state: BTreeMap<String, Vec<u8>>,
}

impl StreamState {
    /// The map with this number in the ABI, and whether the filter may access it now.
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

/// What a context id refers to. An entry lives as long as the host's own object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContextKind {
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
    pub contexts: BTreeMap<u32, ContextKind>,
    pub streams: Vec<StreamState>,
    /// Complete streams to destroy after the running event, under `StreamDestruction::Deferred`.
    pub pending_destruction: Vec<usize>,
    /// Contexts that the VM has deleted and whose objects the host still keeps.
    pub deleted_contexts: Vec<u32>,
    pub keep_deleted_contexts: bool,
    /// Changes to headers and trailers are refused although their map exists.
    pub refuse_header_changes: bool,
    pub current_callback: Option<CurrentCallback>,
    /// The number of nested callbacks that are running.
    pub depth: usize,
    pub stop_iteration: bool,
    pub actions: VecDeque<Action>,
    pub stream_destruction: StreamDestruction,
    pub final_callback_order: FinalCallbackOrder,
    pub clusters: BTreeMap<String, ClusterState>,
    pub calls: BTreeMap<u32, Call>,
    pub call_response: Option<CallResponse>,
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
    pub tokens: BTreeSet<String>,
    pub requests: u64,
    pub dispatched: u64,
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// 2024-01-01: tokens of tests can have creation times before and after it.
const START: Duration = Duration::from_secs(1_704_067_200);

impl Host {
    fn new() -> Self {
        Self {
            contexts: BTreeMap::new(),
            streams: Vec::new(),
            pending_destruction: Vec::new(),
            deleted_contexts: Vec::new(),
            keep_deleted_contexts: false,
            refuse_header_changes: false,
            current_callback: None,
            depth: 0,
            stop_iteration: false,
            actions: VecDeque::new(),
            stream_destruction: StreamDestruction::Immediate,
            final_callback_order: FinalCallbackOrder::LogFirst,
            clusters: BTreeMap::new(),
            calls: BTreeMap::new(),
            call_response: None,
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
            tokens: BTreeSet::new(),
            requests: 0,
            dispatched: 0,
            properties: BTreeMap::new(),
        }
    }

    /// The context of host calls: the effective one if the host still has it, else that of the running callback.
    pub fn effective_context(&self) -> u32 {
        self.current_callback.as_ref().map_or(0, |running| match running.effective {
            0 => running.context,
            effective if self.contexts.contains_key(&effective) => effective,
            _ => running.context,
        })
    }

    /// The stream of host calls; `None` for a root context.
    pub fn effective_stream(&self) -> Option<usize> {
        match self.contexts.get(&self.effective_context()) {
            Some(ContextKind::Stream(stream)) => Some(*stream),
            _ => None,
        }
    }

    pub fn record_violation(&mut self, what: impl AsRef<str>) {
        let location = self.location();
        self.violations.push(format!("{} ({location})", what.as_ref()));
    }

    pub fn record_refusal(&mut self, what: impl AsRef<str>) {
        let location = self.location();
        self.refusals.push(format!("{} ({location})", what.as_ref()));
    }

    /// The running callback and its contexts, for messages.
    pub fn location(&self) -> String {
        self.current_callback.as_ref().map_or_else(
            || "between callbacks".to_owned(),
            |running| {
                format!("in {} of context {}, acting on {}", running.name, running.context, self.effective_context())
            },
        )
    }

    /// Records every token in a message, for the search for leaked tokens.
    pub fn record_tokens(&mut self, map: &Pairs) {
        for (_, value) in map {
            for run in value.split(|byte| !byte.is_ascii_alphanumeric()).filter(|run| run.len() == 64) {
                self.tokens.insert(String::from_utf8_lossy(run).into_owned());
            }
        }
    }
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::new());
    /// Ids continue from the last VM of this thread, since the SDK's tables belong to the thread.
    static NEXT_CONTEXT: RefCell<u32> = const { RefCell::new(1) };
    static NEXT_CALL: RefCell<u32> = const { RefCell::new(1) };
}

/// Reads or changes the host. `access` must not call into the VM, whose host calls would borrow the host again.
pub fn with_host<T>(access: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with(|host| access(&mut host.borrow_mut()))
}

/// Reads the host unless it is borrowed; for the panic hook.
pub fn try_with_host<T>(read: impl FnOnce(&Host) -> T) -> Option<T> {
    HOST.try_with(|host| host.try_borrow().ok().map(|host| read(&host))).ok().flatten()
}

/// Replaces the host with a new one, for the next VM of this thread.
pub fn reset_host() {
    with_host(|host| *host = Host::new());
}

pub fn next_context() -> u32 {
    NEXT_CONTEXT.with(|next| next.replace_with(|id| *id + 1))
}

pub fn next_call() -> u32 {
    NEXT_CALL.with(|next| next.replace_with(|id| *id + 1))
}

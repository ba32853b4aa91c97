//! The VM that a test drives: its configurations, its requests, and how the host behaves.

use super::calls;
use super::exports::{self, callback};
use super::handle::Stream;
use super::invariants;
use super::request::Request;
use super::state::{
    self, ClusterState, ContextKind, FinalCallbackOrder, Level, Root, StreamDestruction, next_context, with_host,
};
use super::stream;
use serde_json::Value;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// The VM of this thread. Dropping it fails the test if an invariant was violated.
pub struct Vm {
    root: Root,
    /// Whether every request must raise exactly one of the filter's outcome counters.
    checks_filter_contract: bool,
    /// The SDK's tables and the host belong to the thread.
    thread: PhantomData<*const ()>,
}

static LOGGER: Once = Once::new();
static INITIALIZE: Mutex<()> = Mutex::new(());

/// Runs the module's start function on this thread, one thread at a time: the SDK's logger belongs to the process.
fn initialize(start: impl FnOnce()) {
    let _guard: MutexGuard<'_, ()> = INITIALIZE.lock().unwrap_or_else(PoisonError::into_inner);
    LOGGER.call_once(|| {
        // The SDK's panic hook writes to the host's log, which a failing test does not show. A panic inside a callback
        // ends the process, so this hook prints the location.
        let hook = std::panic::take_hook();
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Trace);
        std::panic::set_hook(Box::new(move |info| {
            if let Some(Some((location, refusals))) = state::try_with_host(|host| {
                host.current_callback.is_some().then(|| (host.location(), host.refusals.clone()))
            }) {
                eprintln!("TRAP: the filter panicked {location}. The host had refused: {refusals:#?}");
            }
            hook(info);
        }));
    });
    start();
}

/// Runs one event of the host's event loop, then what was deferred to its end: destructions and queue callbacks.
pub fn run_event<T>(event: impl FnOnce() -> T) -> T {
    let outcome = event();
    loop {
        let ending = with_host(|host| std::mem::take(&mut host.pending_destruction));
        for stream in &ending {
            stream::destroy(*stream);
        }
        let announced = with_host(|host| {
            let queue = host.queues.iter_mut().enumerate().find(|(_, queue)| queue.announced);
            queue.map(|(index, queue)| {
                queue.announced = false;
                (queue.root, u32::try_from(index + 1).expect("few queues are registered"))
            })
        });
        if let Some((root, queue)) = announced {
            // SAFETY: the SDK's export, with a root that exists.
            callback("proxy_on_queue_ready", root, || unsafe { exports::proxy_on_queue_ready(root, queue) }, |_, _| ());
        } else if ending.is_empty() {
            break;
        }
    }
    with_host(|host| {
        if !host.keep_deleted_contexts {
            for context in std::mem::take(&mut host.deleted_contexts) {
                host.contexts.remove(&context);
            }
        }
    });
    outcome
}

impl Vm {
    fn create(checks_filter_contract: bool) -> Self {
        // A test may create a VM before it drops the previous one.
        close();
        state::reset_host();
        with_host(|host| host.clusters.insert("rest-sessions".to_owned(), ClusterState::Healthy));
        Self { root: Root(0), checks_filter_contract, thread: PhantomData }
    }

    /// A VM of the filter without a configuration yet.
    pub fn new() -> Self {
        // SAFETY: the module's start function.
        initialize(|| unsafe { exports::_initialize() });
        Self::create(true)
    }

    /// A VM of another module: `start` is its start function. Its requests need not be counted.
    pub fn for_module(start: impl FnOnce()) -> Self {
        initialize(start);
        let mut vm = Self::create(false);
        vm.configure_bytes(b"").expect("the module takes an empty configuration");
        vm
    }

    /// A VM of the filter with this configuration, which must be accepted.
    pub fn with_config(configuration: Value) -> Self {
        let mut vm = Self::new();
        vm.configure(configuration).unwrap_or_else(|errors| panic!("the configuration was refused: {errors:#?}"));
        vm
    }

    /// Creates a root context with another configuration. If it is accepted, later requests go there; otherwise returns
    /// the error lines of the log.
    pub fn configure(&mut self, configuration: Value) -> Result<Root, Vec<String>> {
        self.configure_bytes(configuration.to_string().as_bytes())
    }

    /// [`configure`](Self::configure) with any bytes.
    pub fn configure_bytes(&mut self, configuration: &[u8]) -> Result<Root, Vec<String>> {
        let root = next_context();
        let logged = with_host(|host| {
            host.contexts.insert(root, ContextKind::Root);
            host.configuration = Some(configuration.to_vec());
            host.log.len()
        });
        let accepted = run_event(|| {
            // SAFETY: the SDK's exports, with an id that is free, then with the root of that id.
            callback(
                "proxy_on_context_create",
                root,
                || unsafe { exports::proxy_on_context_create(root, 0) },
                |_, _| (),
            );
            let size = configuration.len();
            callback("proxy_on_vm_start", root, || unsafe { exports::proxy_on_vm_start(root, 0) }, |ok, _| ok)
                && callback(
                    "proxy_on_configure",
                    root,
                    || unsafe { exports::proxy_on_configure(root, size) },
                    |ok, _| ok,
                )
        });
        with_host(|host| host.configuration = None);
        if accepted {
            self.root = Root(root);
            return Ok(self.root);
        }
        let errors = with_host(|host| {
            let lines = host.log[logged..].iter().filter(|(level, _)| *level >= Level::Error);
            lines.map(|(_, line)| line.clone()).collect()
        });
        self.retire(Root(root));
        Err(errors)
    }

    /// The host deletes a root context, as it does once a new configuration has replaced it.
    pub fn retire(&mut self, root: Root) {
        retire(root);
    }

    /// Checks at the end that every request has raised exactly one of the filter's outcome counters.
    pub fn check_filter_contract(&mut self) {
        self.checks_filter_contract = true;
    }

    pub fn root(&self) -> Root {
        self.root
    }

    /// A request without a body.
    pub fn request(&mut self, request: Request) -> Stream {
        self.request_on(self.root, request)
    }

    /// A request whose body follows.
    pub fn request_with_body(&mut self, request: Request) -> Stream {
        self.begin(self.root, next_context(), request, false)
    }

    /// A request under the configuration of this root context.
    pub fn request_on(&mut self, root: Root, request: Request) -> Stream {
        self.begin(root, next_context(), request, true)
    }

    /// A request whose stream reuses the context id of a stream that is gone.
    pub fn request_reusing_id(&mut self, gone: Stream, request: Request) -> Stream {
        assert!(gone.is_gone(), "the context id is in use");
        self.begin(self.root, gone.context(), request, true)
    }

    fn begin(&mut self, root: Root, context: u32, request: Request, end_of_stream: bool) -> Stream {
        Stream { index: run_event(|| stream::create(root.0, context, request.headers, end_of_stream)) }
    }

    pub fn set_log_level(&mut self, level: Level) {
        with_host(|host| host.log_level = level);
    }

    pub fn set_stream_destruction(&mut self, destruction: StreamDestruction) {
        with_host(|host| host.stream_destruction = destruction);
    }

    pub fn set_final_callback_order(&mut self, order: FinalCallbackOrder) {
        with_host(|host| host.final_callback_order = order);
    }

    /// The host refuses changes to headers and trailers from now on.
    pub fn refuse_header_changes(&mut self) {
        with_host(|host| host.refuse_header_changes = true);
    }

    /// The host keeps its objects of streams that the VM has deleted, so that they can still be made effective.
    pub fn keep_deleted_contexts(&mut self) {
        with_host(|host| host.keep_deleted_contexts = true);
    }
}

fn retire(root: Root) {
    run_event(|| {
        let Root(id) = root;
        // SAFETY: the SDK's exports, with a root that exists until the second of them.
        callback("proxy_on_done", id, || unsafe { exports::proxy_on_done(id) }, |_, _| ());
        callback("proxy_on_delete", id, || unsafe { exports::proxy_on_delete(id) }, |_, _| ());
        with_host(|host| {
            host.contexts.remove(&id);
            host.ticks.remove(&id);
            host.calls.retain(|_, call| call.root != root);
        });
    });
}

/// Destroys every stream and every root context. Returns what was wrong in between.
fn close() -> Option<String> {
    let alive =
        with_host(|host| (0..host.streams.len()).filter(|stream| host.streams[*stream].alive).collect::<Vec<_>>());
    for stream in alive {
        Stream { index: stream }.disconnect();
    }
    // Small moves are shown at ticks alone.
    with_host(|host| host.ticks.keys().copied().collect::<Vec<_>>()).into_iter().for_each(calls::tick);
    let fault = invariants::leaked_memory();
    let roots = with_host(|host| {
        let roots = host.contexts.iter().filter(|(_, owner)| **owner == ContextKind::Root);
        roots.map(|(id, _)| Root(*id)).collect::<Vec<_>>()
    });
    for root in roots {
        retire(root);
    }
    fault
}

impl Drop for Vm {
    fn drop(&mut self) {
        // A test that has failed needs no second reason, but its contexts must be destroyed before the thread's host.
        let failed = std::thread::panicking();
        let mut faults = if failed { Vec::new() } else { invariants::paused_streams() };
        faults.extend(close());
        if !failed {
            faults.extend(invariants::violations(self.checks_filter_contract));
            assert!(faults.is_empty(), "invariants were violated:\n  {}", faults.join("\n  "));
        }
    }
}

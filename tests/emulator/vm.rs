//! The VM as a test drives it: configurations, requests, calls, time.

use super::exports::{self, callback};
use super::handle::Stream;
use super::invariants;
use super::request::Request;
use super::state::{self, Cluster, Ending, Farewell, Level, Owner, Root, next_context, with};
use super::stream;
use serde_json::Value;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// One VM, on this thread. When it is dropped, what the filter did wrong fails the test.
pub struct Vm {
    root: Root,
    /// The contexts are of the filter, whose contract the invariants know.
    is_filter: bool,
    /// The SDK's tables and the host belong to the thread.
    thread: PhantomData<*const ()>,
}

static LOGGER: Once = Once::new();
static INITIALIZE: Mutex<()> = Mutex::new(());

/// Runs the module's start function on this thread, one thread after the other: the SDK's logger is the process's.
fn initialize(start: impl FnOnce()) {
    let _guard: MutexGuard<'_, ()> = INITIALIZE.lock().unwrap_or_else(PoisonError::into_inner);
    LOGGER.call_once(|| {
        // The SDK's panic hook sends messages to the host's log, where a failing test would hide them; and a panic
        // inside a callback ends the process, so that the place must be said here.
        let hook = std::panic::take_hook();
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Trace);
        std::panic::set_hook(Box::new(move |info| {
            if let Some(Some((place, refusals))) =
                state::peek(|host| host.running.is_some().then(|| (host.place(), host.refusals.clone())))
            {
                eprintln!("TRAP: the filter panicked {place}. The host had refused: {refusals:#?}");
            }
            hook(info);
        }));
    });
    start();
}

/// One event of the host's loop: what was put off until its end happens then.
pub fn turn<T>(event: impl FnOnce() -> T) -> T {
    let outcome = event();
    loop {
        let ending = with(|host| std::mem::take(&mut host.ending_later));
        for stream in &ending {
            stream::finish(*stream);
        }
        let announced = with(|host| {
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
    with(|host| {
        if !host.keep_lingering {
            for context in std::mem::take(&mut host.lingering) {
                host.contexts.remove(&context);
            }
        }
    });
    outcome
}

impl Vm {
    fn fresh(is_filter: bool) -> Self {
        // A test may leave a VM for another one before it drops it.
        close();
        state::renew();
        with(|host| host.clusters.insert("rest-sessions".to_owned(), Cluster::Healthy));
        Self { root: Root(0), is_filter, thread: PhantomData }
    }

    /// A VM of the filter without a configuration yet.
    pub fn new() -> Self {
        // SAFETY: the module's start function.
        initialize(|| unsafe { exports::_initialize() });
        Self::fresh(true)
    }

    /// A VM of another module: `start` is its start function. The filter's contract is not checked.
    pub fn of_module(start: impl FnOnce()) -> Self {
        initialize(start);
        let mut vm = Self::fresh(false);
        vm.configure_bytes(b"").expect("the module takes an empty configuration");
        vm
    }

    /// A VM of the filter with this configuration, which must be accepted.
    pub fn with_config(configuration: Value) -> Self {
        let mut vm = Self::new();
        vm.configure(configuration).unwrap_or_else(|errors| panic!("the configuration was refused: {errors:#?}"));
        vm
    }

    /// A root context for one more configuration; requests go there from now on if it is accepted. Else the error lines.
    pub fn configure(&mut self, configuration: Value) -> Result<Root, Vec<String>> {
        self.configure_bytes(configuration.to_string().as_bytes())
    }

    pub fn configure_bytes(&mut self, configuration: &[u8]) -> Result<Root, Vec<String>> {
        let root = next_context();
        let logged = with(|host| {
            host.contexts.insert(root, Owner::Root);
            host.configuration = Some(configuration.to_vec());
            host.log.len()
        });
        let accepted = turn(|| {
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
        with(|host| host.configuration = None);
        if accepted {
            self.root = Root(root);
            return Ok(self.root);
        }
        let errors = with(|host| {
            let lines = host.log[logged..].iter().filter(|(level, _)| *level >= Level::Error);
            lines.map(|(_, line)| line.clone()).collect()
        });
        self.retire(Root(root));
        Err(errors)
    }

    /// The host lets a configuration go, as it does once a new one has taken its place.
    pub fn retire(&mut self, root: Root) {
        retire(root);
    }

    /// Holds a module to the filter's contract: every request counted exactly once.
    pub fn is_the_filter(&mut self) {
        self.is_filter = true;
    }

    pub fn root(&self) -> Root {
        self.root
    }

    // Requests.

    /// A request without a body.
    pub fn request(&mut self, request: Request) -> Stream {
        self.request_on(self.root, request)
    }

    /// A request whose body is still to come.
    pub fn request_with_body(&mut self, request: Request) -> Stream {
        self.begin(self.root, next_context(), request, false)
    }

    /// A request that meets a certain configuration.
    pub fn request_on(&mut self, root: Root, request: Request) -> Stream {
        self.begin(root, next_context(), request, true)
    }

    /// A request whose stream has the id of one that is gone.
    pub fn request_as(&mut self, gone: Stream, request: Request) -> Stream {
        assert!(gone.is_gone(), "the id is in use");
        self.begin(self.root, gone.context(), request, true)
    }

    fn begin(&mut self, root: Root, context: u32, request: Request, end_of_stream: bool) -> Stream {
        Stream { index: turn(|| stream::begin(root.0, context, request.headers, end_of_stream)) }
    }

    // How the host behaves.

    pub fn set_log_level(&mut self, level: Level) {
        with(|host| host.log_level = level);
    }

    pub fn set_ending(&mut self, ending: Ending) {
        with(|host| host.ending = ending);
    }

    pub fn set_farewell(&mut self, farewell: Farewell) {
        with(|host| host.farewell = farewell);
    }

    /// The host takes no change of headers or trailers from now on.
    pub fn refuse_changes(&mut self) {
        with(|host| host.refuse_changes = true);
    }

    /// The host keeps its objects of streams that the VM has deleted, so that an effective context can be set to them.
    pub fn keep_deleted_contexts(&mut self) {
        with(|host| host.keep_lingering = true);
    }
}

fn retire(root: Root) {
    turn(|| {
        let Root(id) = root;
        // SAFETY: the SDK's exports, with a root that exists until the second of them.
        callback("proxy_on_done", id, || unsafe { exports::proxy_on_done(id) }, |_, _| ());
        callback("proxy_on_delete", id, || unsafe { exports::proxy_on_delete(id) }, |_, _| ());
        with(|host| {
            host.contexts.remove(&id);
            host.ticks.remove(&id);
            host.calls.retain(|_, call| call.root != root);
        });
    });
}

/// Every stream ends, and every configuration goes.
fn close() {
    let alive = with(|host| (0..host.streams.len()).filter(|stream| host.streams[*stream].alive).collect::<Vec<_>>());
    for stream in alive {
        Stream { index: stream }.leaves();
    }
    let roots = with(|host| {
        let roots = host.contexts.iter().filter(|(_, owner)| **owner == Owner::Root);
        roots.map(|(id, _)| Root(*id)).collect::<Vec<_>>()
    });
    for root in roots {
        retire(root);
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // A test that has failed needs no second reason, but its contexts must go before the thread's host does.
        let failed = std::thread::panicking();
        let mut faults = if failed { Vec::new() } else { invariants::at_rest() };
        close();
        if !failed {
            faults.extend(invariants::at_the_end(self.is_filter));
            assert!(faults.is_empty(), "the filter did what it must not:\n  {}", faults.join("\n  "));
        }
    }
}

//! Contexts that run the hooks of a test in their callbacks, right or wrong, and record which callbacks ran.

use crate::emulator::{Stream, Vm};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, Status};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What a test does in a callback; the argument is the context id.
type Hook = Rc<RefCell<dyn FnMut(u32)>>;

thread_local! {
    static HOOKS: RefCell<Vec<(&'static str, Hook)>> = const { RefCell::new(Vec::new()) };
    static EVENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static PAUSES: RefCell<bool> = const { RefCell::new(false) };
}

/// Adds a hook to a callback, by the name that is recorded for it.
pub fn on_callback(callback: &'static str, hook: impl FnMut(u32) + 'static) {
    HOOKS.with(|hooks| hooks.borrow_mut().push((callback, Rc::new(RefCell::new(hook)))));
}

/// The callbacks that ran, and what hooks recorded.
pub fn events() -> Vec<String> {
    EVENTS.with(|events| events.borrow().clone())
}

pub fn record(what: String) {
    EVENTS.with(|events| events.borrow_mut().push(what));
}

/// Runs the hooks of a callback. Their table is not borrowed meanwhile, since a hook may cause further callbacks.
fn run_hooks(callback: &'static str, context: u32) {
    record(callback.to_owned());
    let hooks = HOOKS.with(|hooks| hooks.borrow().clone());
    for (_, hook) in hooks.iter().filter(|(name, _)| *name == callback) {
        hook.borrow_mut()(context);
    }
}

struct Root(u32);

struct Http(u32);

impl Context for Root {
    fn on_http_call_response(&mut self, _: u32, headers: usize, body: usize, _: usize) {
        record(format!("call response of {headers} headers and {body} bytes"));
        run_hooks("call response", self.0);
    }
}

impl RootContext for Root {
    fn on_tick(&mut self) {
        run_hooks("tick", self.0);
    }

    fn on_queue_ready(&mut self, _: u32) {
        run_hooks("queue", self.0);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http(context)))
    }
}

impl Context for Http {
    fn on_done(&mut self) -> bool {
        run_hooks("done", self.0);
        true
    }

    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        run_hooks("call response to the stream", self.0);
    }
}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        run_hooks("request headers", self.0);
        if PAUSES.with(|pauses| *pauses.borrow()) { Action::Pause } else { Action::Continue }
    }

    fn on_http_request_body(&mut self, size: usize, _: bool) -> Action {
        record(format!("body of {size}"));
        run_hooks("request body", self.0);
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        run_hooks("request trailers", self.0);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        run_hooks("response headers", self.0);
        Action::Continue
    }

    fn on_log(&mut self) {
        run_hooks("log", self.0);
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        record("delete".to_owned());
    }
}

/// A VM whose streams pass.
pub fn vm() -> Vm {
    Vm::for_module(|| proxy_wasm::set_root_context(|context| Box::new(Root(context))))
}

/// A VM whose streams pause at their request headers.
pub fn pausing_vm() -> Vm {
    PAUSES.with(|pauses| *pauses.borrow_mut() = true);
    vm()
}

pub fn resume() {
    hostcalls::resume_http_request().expect("the host resumes");
}

pub fn reply() {
    hostcalls::send_http_response(401, vec![("x-why", "no")], Some(b"no session")).expect("the host replies");
}

pub fn dispatch(cluster: &str, path: &str, timeout: Duration) -> Result<u32, Status> {
    let headers = vec![(":method", "GET"), (":path", path), (":authority", "rest-sessions")];
    hostcalls::dispatch_http_call(cluster, headers, None, Vec::new(), timeout)
}

/// A hook of the root context that acts on a stream, by making its context effective.
pub fn acting_on(stream: Stream, hook: fn()) -> impl FnMut(u32) {
    let context = stream.context();
    move |root| {
        hostcalls::set_effective_context(context).expect("the host knows the stream");
        hook();
        hostcalls::set_effective_context(root).expect("the host knows the root");
    }
}

/// Dispatches a call to `rest-sessions` in a callback.
pub fn dispatch_in(callback: &'static str) {
    on_callback(callback, |_| {
        dispatch("rest-sessions", "/", Duration::from_millis(500)).expect("the host takes the call");
    });
}

/// Lets later streams pass.
pub fn stop_pausing() {
    PAUSES.with(|pauses| *pauses.borrow_mut() = false);
}

/// The root context sets a tick period, in a callback of its own.
pub fn set_tick_period(vm: &mut Vm, period: Duration) {
    on_callback("call response", move |_| hostcalls::set_tick_period(period).unwrap());
    respond_to_unknown_call(vm);
    HOOKS.with(|hooks| hooks.borrow_mut().clear());
}

/// Runs the root context's hooks for a call response.
pub fn respond_to_unknown_call(vm: &mut Vm) {
    let call = vm.unknown_call();
    vm.respond(&call, 200, "{}");
}

/// Takes the violations, which must be exactly these in this order, each given by a part of its text.
#[track_caller]
pub fn assert_violations(vm: &mut Vm, expected: &[&str]) {
    let violations = vm.take_violations();
    let matches = violations.iter().zip(expected).all(|(violation, part)| violation.contains(part));
    assert!(matches && violations.len() == expected.len(), "expected {expected:#?}, found {violations:#?}");
}

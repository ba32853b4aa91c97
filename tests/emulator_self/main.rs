//! The host emulator itself: that it is as strict as Envoy, shown by small contexts that do right and wrong on purpose.

#[path = "../emulator/mod.rs"]
mod emulator;

use emulator::{Call, ClusterState, FinalCallbackOrder, Level, Request, Stream, StreamDestruction, Vm};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, MapType, Status};
use rest_sessions_filter as _;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What the contexts do in each callback, by its name; a test fills this in before it drives the VM.
type Deed = Rc<RefCell<dyn FnMut(u32)>>;

thread_local! {
    static DEEDS: RefCell<Vec<(&'static str, Deed)>> = const { RefCell::new(Vec::new()) };
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static PAUSE: RefCell<bool> = const { RefCell::new(false) };
}

fn on(callback: &'static str, deed: impl FnMut(u32) + 'static) {
    DEEDS.with(|deeds| deeds.borrow_mut().push((callback, Rc::new(RefCell::new(deed)))));
}

fn seen() -> Vec<String> {
    SEEN.with(|seen| seen.borrow().clone())
}

fn note(what: String) {
    SEEN.with(|seen| seen.borrow_mut().push(what));
}

/// Runs the deeds of a callback with the table free, since a deed may lead to further callbacks.
fn act(callback: &'static str, context: u32) {
    note(callback.to_owned());
    let deeds = DEEDS.with(|deeds| deeds.borrow().clone());
    for (_, deed) in deeds.iter().filter(|(name, _)| *name == callback) {
        deed.borrow_mut()(context);
    }
}

struct Root(u32);
struct Http(u32);

impl Context for Root {
    fn on_http_call_response(&mut self, _: u32, headers: usize, body: usize, _: usize) {
        note(format!("answer of {headers} headers and {body} bytes"));
        act("answer", self.0);
    }
}

impl RootContext for Root {
    fn on_tick(&mut self) {
        act("tick", self.0);
    }

    fn on_queue_ready(&mut self, _: u32) {
        act("queue", self.0);
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
        act("done", self.0);
        true
    }

    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        act("answer to the stream", self.0);
    }
}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        act("request headers", self.0);
        if PAUSE.with(|pause| *pause.borrow()) { Action::Pause } else { Action::Continue }
    }

    fn on_http_request_body(&mut self, size: usize, _: bool) -> Action {
        note(format!("body of {size}"));
        act("request body", self.0);
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        act("request trailers", self.0);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        act("response headers", self.0);
        Action::Continue
    }

    fn on_log(&mut self) {
        act("log", self.0);
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        note("delete".to_owned());
    }
}

fn vm() -> Vm {
    Vm::for_module(|| proxy_wasm::set_root_context(|context| Box::new(Root(context))))
}

fn pausing_vm() -> Vm {
    PAUSE.with(|pause| *pause.borrow_mut() = true);
    vm()
}

fn resume() {
    hostcalls::resume_http_request().expect("the host resumes");
}

fn reply() {
    hostcalls::send_http_response(401, vec![("x-why", "no")], Some(b"no session")).expect("the host replies");
}

fn dispatch(cluster: &str, path: &str, timeout: Duration) -> Result<u32, Status> {
    let headers = vec![(":method", "GET"), (":path", path), (":authority", "rest-sessions")];
    hostcalls::dispatch_http_call(cluster, headers, None, Vec::new(), timeout)
}

fn from_the_root(stream: Stream, deed: fn()) -> impl FnMut(u32) {
    let context = stream.context();
    move |root| {
        hostcalls::set_effective_context(context).expect("the host knows the stream");
        deed();
        hostcalls::set_effective_context(root).expect("the host knows the root");
    }
}

fn dispatch_in(callback: &'static str) {
    on(callback, |_| {
        dispatch("rest-sessions", "/", Duration::from_millis(500)).expect("the host takes the call");
    });
}

#[test]
fn a_request_passes_with_the_headers_as_the_filter_left_them() {
    let mut vm = vm();
    on("request headers", |_| {
        hostcalls::remove_map_value(MapType::HttpRequestHeaders, "x-forged").unwrap();
        hostcalls::add_map_value(MapType::HttpRequestHeaders, "x-added", "1").unwrap();
        hostcalls::set_map_value(MapType::HttpRequestHeaders, "x-set", Some("2")).unwrap();
    });
    let request = Request::get("/").header("x-forged", "a").header("X-Forged", "b").header("x-set", "0");
    let stream = vm.request(request.header("x-bytes", b"\xff\xfe"));
    assert_eq!(stream.upstream_header("x-forged"), None);
    assert_eq!(stream.upstream_header_values("x-set"), ["2"]);
    assert_eq!(stream.upstream_header("x-added").as_deref(), Some("1"));
    assert!(stream.upstream_headers().contains(&(b"x-bytes".to_vec(), b"\xff\xfe".to_vec())));
    stream.upstream_responds(200);
    assert!(stream.is_gone());
}

#[test]
fn a_paused_request_keeps_its_body_and_trailers_until_it_is_resumed() {
    let mut vm = pausing_vm();
    let stream = vm.request_with_body(Request::new("POST", "/"));
    stream.send_body(b"one", false);
    stream.send_body(b"two", false);
    stream.send_trailers([("x-checksum", "3")]);
    assert!(stream.is_paused() && !stream.passed());
    assert!(!seen().iter().any(|line| line.starts_with("body")));

    let call = vm.unknown_call();
    on("answer", from_the_root(stream, resume));
    vm.respond(&call, 200, "{}");
    assert!(stream.passed());
    assert_eq!(stream.upstream_body(), b"onetwo");
    assert_eq!(stream.upstream_trailers().unwrap(), [(b"x-checksum".to_vec(), b"3".to_vec())]);
}

#[test]
fn a_map_is_gone_once_the_stream_was_resumed_or_has_passed() {
    let mut vm = pausing_vm();
    on("request headers", |_| {
        resume();
        let status = hostcalls::get_map_value_bytes;
        let read = std::panic::catch_unwind(|| status(MapType::HttpRequestHeaders, ":path"));
        note(format!("read after resume fails: {}", read.is_err()));
    });
    let stream = vm.request(Request::get("/"));
    assert!(stream.passed());
    assert!(seen().contains(&"read after resume fails: true".to_owned()));
    assert!(vm.refusals().iter().any(|line| line.contains(":path of map 0")));
}

#[test]
fn a_whole_map_that_is_gone_reads_as_empty_and_is_a_violation() {
    let mut vm = vm();
    on("response headers", |_| {
        note(format!("{:?}", hostcalls::get_map_bytes(MapType::HttpRequestHeaders)));
        note(format!("{}", hostcalls::get_map_bytes(MapType::HttpResponseHeaders).unwrap().len()));
    });
    vm.request(Request::get("/")).upstream_responds(200);
    assert_eq!(seen()[2..4], ["Ok([])", "1"]);
    assert!(vm.take_violations()[0].contains("map 0 was read"));
}

#[test]
fn request_headers_are_gone_in_the_response_phase_and_readable_for_the_log() {
    let mut vm = vm();
    for callback in ["response headers", "log"] {
        on(callback, move |_| {
            let read = || hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, ":path").unwrap();
            note(format!("{callback}: {}", std::panic::catch_unwind(read).is_ok()));
        });
    }
    vm.request(Request::get("/")).upstream_responds(200);
    assert!(seen().contains(&"response headers: false".to_owned()));
    assert!(seen().contains(&"log: true".to_owned()));
}

#[test]
fn a_local_reply_runs_through_the_streams_own_response_callback_and_ends_it() {
    let mut vm = vm();
    on("request headers", |_| reply());
    let stream = vm.request(Request::get("/"));
    assert_eq!(seen()[..5], ["request headers", "response headers", "log", "done", "delete"]);
    assert_eq!(stream.local_reply().unwrap().status, 401);
    assert_eq!(stream.client_body(), b"no session");
    assert!(!stream.passed());
}

#[test]
fn a_client_of_grpc_or_head_gets_envoys_form_of_a_local_reply() {
    let mut vm = vm();
    on("request headers", |_| reply());
    let grpc = vm.request(Request::new("POST", "/").header("content-type", "application/grpc+proto"));
    assert!(grpc.client_headers().contains(&(b"grpc-status".to_vec(), b"16".to_vec())));
    let head = vm.request(Request::new("HEAD", "/"));
    assert!(head.client_body().is_empty());
    assert!(head.client_headers().contains(&(b"content-length".to_vec(), b"10".to_vec())));
}

#[test]
fn the_end_of_a_stream_can_wait_and_its_last_callbacks_come_in_either_order() {
    let mut vm = vm();
    vm.set_stream_destruction(StreamDestruction::Manual);
    vm.set_final_callback_order(FinalCallbackOrder::DoneFirst);
    on("request headers", |_| reply());
    let stream = vm.request(Request::get("/"));
    assert!(!stream.is_gone());
    stream.disconnect();
    assert_eq!(seen()[2..], ["done", "log", "delete"]);
    vm.set_stream_destruction(StreamDestruction::Deferred);
    assert!(vm.request(Request::get("/")).is_gone());
}

#[test]
fn an_answer_reaches_the_root_after_the_stream_left_but_not_a_stream_that_is_gone() {
    unsafe extern "C" {
        fn proxy_on_queue_ready(context: u32, queue: u32);
    }
    let mut vm = pausing_vm();
    let root = vm.root().0;
    // SAFETY: the SDK's export, called from a stream's callback, where no root is borrowed.
    on("request headers", move |_| unsafe { proxy_on_queue_ready(root, u32::MAX) });
    dispatch_in("queue");
    let stream = vm.request(Request::get("/"));
    stream.disconnect();
    let call = vm.call();
    vm.respond(&call, 200, "{}");
    assert!(seen().contains(&"answer".to_owned()));
    assert!(vm.calls().is_empty());

    dispatch_in("done");
    let stream = vm.request(Request::get("/"));
    stream.disconnect();
    let dropped = vm.calls().pop().unwrap();
    let answers = seen().len();
    vm.respond(&dropped, 200, "{}");
    assert_eq!(seen().len(), answers, "the SDK drops what the stream has asked for");
    let rest = vm.call();
    vm.respond(&rest, 200, "{}");
}

#[test]
fn calls_that_envoy_refuses_are_refused_with_its_status() {
    let mut vm = vm();
    on("tick", |_| {
        let timeout = Duration::from_millis(500);
        assert_eq!(dispatch("nowhere", "/", timeout), Err(Status::BadArgument));
        assert_eq!(dispatch("empty", "/", timeout), Err(Status::InternalFailure));
        assert_eq!(dispatch("rest-sessions", "/a\r\nb", timeout), Err(Status::InternalFailure));
        let headers = vec![(":method", "GET"), (":path", "/")];
        let call = hostcalls::dispatch_http_call("rest-sessions", headers, None, Vec::new(), timeout);
        assert_eq!(call, Err(Status::BadArgument));
    });
    vm.set_cluster("empty", Some(ClusterState::NoEndpoints));
    let stray = vm.unknown_call();
    assert_eq!(vm.refusals().len(), 4);
    vm.respond(&stray, 200, "");
}

#[test]
fn the_clock_times_calls_out_and_ticks() {
    let mut vm = vm();
    hostcalls_tick(&mut vm, Duration::from_millis(300));
    dispatch_in("tick");
    on("answer", |_| {
        let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").unwrap().unwrap();
        note(String::from_utf8(status).unwrap());
    });
    vm.advance(Duration::from_millis(299));
    assert!(vm.calls().is_empty());
    vm.advance(Duration::from_millis(502));
    assert_eq!(vm.dispatched(), 3, "the one that set the period, and one a tick");
    assert_eq!(vm.calls().len(), 1);
    assert!(seen().contains(&"504".to_owned()));
}

/// The root asks for ticks, from its own callback.
fn hostcalls_tick(vm: &mut Vm, period: Duration) {
    on("answer", move |_| hostcalls::set_tick_period(period).unwrap());
    let call = vm.unknown_call();
    vm.respond(&call, 200, "");
    DEEDS.with(|deeds| deeds.borrow_mut().clear());
}

#[test]
fn a_reset_call_has_neither_headers_nor_body() {
    let mut vm = vm();
    on("answer", |_| {
        let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, 10).unwrap();
        assert_eq!(body, None);
    });
    let call = vm.unknown_call();
    vm.reset(&call);
    assert!(seen().contains(&"answer of 0 headers and 0 bytes".to_owned()));
}

#[test]
fn a_context_is_effective_as_long_as_the_host_has_its_object() {
    let mut vm = pausing_vm();
    let stream = vm.request(Request::get("/"));
    let context = stream.context();
    stream.disconnect();
    on("answer", move |_| note(format!("gone: {:?}", hostcalls::set_effective_context(context))));
    let call = vm.unknown_call();
    vm.respond(&call, 200, "");
    assert!(seen().contains(&"gone: Err(BadArgument)".to_owned()));

    vm.keep_deleted_contexts();
    let stream = vm.request(Request::get("/"));
    stream.disconnect();
    on("answer", from_the_root(stream, reply));
    let call = vm.unknown_call();
    vm.respond(&call, 200, "");
    let violations = vm.take_violations();
    assert!(violations[0].contains("was replied to after its end"), "{violations:?}");
}

#[test]
fn what_a_root_does_without_an_effective_context_does_nothing_and_is_a_violation() {
    let mut vm = pausing_vm();
    let stream = vm.request(Request::get("/")).may_stay_paused();
    on("answer", |_| {
        resume();
        reply();
    });
    let call = vm.unknown_call();
    vm.respond(&call, 200, "");
    assert!(stream.is_paused());
    let violations = vm.take_violations();
    assert!(violations[0].contains("a root context was resumed"), "{violations:?}");
    assert!(violations[1].contains("a root context replied"), "{violations:?}");
}

#[test]
fn replying_to_another_stream_from_a_headers_callback_freezes_the_one_that_runs() {
    let mut vm = pausing_vm();
    let first = vm.request(Request::get("/"));
    PAUSE.with(|pause| *pause.borrow_mut() = false);
    on("request headers", from_the_root(first, reply));
    let second = vm.request(Request::get("/")).may_stay_paused();
    assert_eq!(first.local_reply().unwrap().status, 401);
    assert!(second.is_paused(), "it asked to continue, and was stopped all the same");
    assert!(vm.take_violations()[0].contains("one stream replied to another"));
}

#[test]
fn a_second_resume_or_reply_is_a_violation() {
    let mut vm = pausing_vm();
    let (resumed, replied) = (vm.request(Request::get("/a")), vm.request(Request::get("/b")));
    for deed in [resume as fn(), resume] {
        on("answer", from_the_root(resumed, deed));
    }
    vm.set_stream_destruction(StreamDestruction::Manual);
    for deed in [reply as fn(), reply] {
        on("answer", from_the_root(replied, deed));
    }
    let call = vm.unknown_call();
    vm.respond(&call, 200, "");
    let violations = vm.take_violations();
    assert!(violations[0].contains("resumed while it was not paused"), "{violations:?}");
    assert!(violations[1].contains("replied to twice"), "{violations:?}");
}

#[test]
fn a_value_with_a_line_break_is_a_violation() {
    let mut vm = vm();
    on("request headers", |_| {
        hostcalls::add_map_value(MapType::HttpRequestHeaders, "x-user", "a\r\nb").unwrap();
    });
    vm.request(Request::get("/"));
    assert!(vm.take_violations()[0].contains("x-user holds a line break"));
}

#[test]
fn a_call_without_a_timeout_is_a_violation() {
    let mut vm = vm();
    on("tick", |_| {
        dispatch("rest-sessions", "/", Duration::from_micros(900)).unwrap();
    });
    let stray = vm.unknown_call();
    assert!(vm.take_violations()[0].contains("no timeout"));
    let calls: Vec<Call> = vm.calls();
    assert_eq!(calls.iter().filter(|call| call.timeout.is_none()).count(), 1);
    vm.respond(&stray, 200, "");
}

#[test]
fn a_queue_is_announced_to_its_root_in_a_later_event() {
    let mut vm = vm();
    on("answer", |_| {
        let queue = hostcalls::register_shared_queue("rest").unwrap();
        hostcalls::enqueue_shared_queue(queue, Some(b"more")).unwrap();
        note("enqueued".to_owned());
    });
    on("queue", |_| {
        let queue = hostcalls::resolve_shared_queue("", "rest").unwrap().unwrap();
        let item = hostcalls::dequeue_shared_queue(queue).unwrap().unwrap();
        note(String::from_utf8(item).unwrap());
        assert_eq!(hostcalls::dequeue_shared_queue(queue), Ok(None));
    });
    let call = vm.unknown_call();
    vm.respond(&call, 200, "");
    assert_eq!(seen()[2..], ["answer", "enqueued", "queue", "more"]);
}

#[test]
fn shared_data_is_compared_and_swapped() {
    let mut vm = vm();
    on("tick", |_| {
        hostcalls::set_shared_data("key", Some(b"one"), None).unwrap();
        let (value, cas) = hostcalls::get_shared_data("key").unwrap();
        assert_eq!(value.as_deref(), Some(&b"one"[..]));
        hostcalls::set_shared_data("key", Some(b"two"), cas).unwrap();
        assert_eq!(hostcalls::set_shared_data("key", Some(b"three"), cas), Err(Status::CasMismatch));
        assert_eq!(hostcalls::get_shared_data("other").unwrap(), (None, None));
    });
    let call = vm.unknown_call();
    vm.respond(&call, 200, "");
}

#[test]
fn a_token_in_a_log_line_fails_the_test() {
    let token = "TokenTokenTokenTokenTokenTokenTokenTokenTokenTokenTokenZm0abcdef";
    let outcome = std::panic::catch_unwind(|| {
        let mut vm = vm();
        on("request headers", move |_| hostcalls::log(proxy_wasm::types::LogLevel::Trace, token).unwrap());
        vm.request(Request::get("/").token(token));
        assert_eq!(vm.log_at(Level::Trace).len(), 1);
    });
    let message = *outcome.expect_err("the check fails").downcast::<String>().unwrap();
    assert!(message.contains("a log line at Trace shows a token"), "{message}");
}

#[test]
fn a_stream_that_nothing_will_wake_fails_the_test() {
    let outcome = std::panic::catch_unwind(|| {
        pausing_vm().request(Request::get("/"));
    });
    let message = *outcome.expect_err("the check fails").downcast::<String>().unwrap();
    assert!(message.contains("nothing will wake it"), "{message}");
}

#[test]
fn a_request_that_is_not_counted_fails_the_test() {
    let outcome = std::panic::catch_unwind(|| {
        let mut vm = vm();
        vm.check_filter_contract();
        vm.request(Request::get("/"));
    });
    let message = *outcome.expect_err("the check fails").downcast::<String>().unwrap();
    assert!(message.contains("1 requests were counted 0 times"), "{message}");
}

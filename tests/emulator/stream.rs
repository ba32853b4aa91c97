//! Moves a stream through the filter: headers, body and trailers in both directions, resumption, local replies and
//! destruction.

use super::abi::{self, Pairs};
use super::exports::{self, callback};
use super::state::{
    ContextKind, Direction, FinalCallbackOrder, Frame, LocalReply, Message, StreamDestruction, StreamState, with_host,
};

fn message(state: &mut StreamState, direction: Direction) -> &mut Message {
    match direction {
        Direction::Request => &mut state.request,
        Direction::Response => &mut state.response,
    }
}

fn with_message<T>(stream: usize, direction: Direction, act: impl FnOnce(&mut Message) -> T) -> T {
    with_host(|host| act(message(&mut host.streams[stream], direction)))
}

pub fn context_of(stream: usize) -> u32 {
    with_host(|host| host.streams[stream].context)
}

pub fn is_alive(stream: usize) -> bool {
    with_host(|host| host.streams[stream].alive)
}

/// Creates the stream's context in the VM and delivers the request's headers.
pub fn create(root: u32, context: u32, headers: Pairs, end_of_stream: bool) -> usize {
    let stream = with_host(|host| {
        host.record_tokens(&headers);
        host.streams.push(StreamState {
            context,
            root,
            request: Message::default(),
            response: Message::default(),
            reply: None,
            alive: true,
            logging: false,
            may_stay_paused: false,
            filter_state: Default::default(),
        });
        let stream = host.streams.len() - 1;
        host.deleted_contexts.retain(|id| *id != context);
        host.contexts.insert(context, ContextKind::Stream(stream));
        host.requests += 1;
        stream
    });
    // SAFETY: the SDK's export, with a root that exists and an id that is free.
    callback(
        "proxy_on_context_create",
        context,
        || unsafe { exports::proxy_on_context_create(context, root) },
        |_, _| (),
    );
    deliver_headers(stream, Direction::Request, headers, end_of_stream);
    stream
}

pub fn deliver_headers(stream: usize, direction: Direction, headers: Pairs, end_of_stream: bool) {
    let context = context_of(stream);
    let count = headers.len();
    with_message(stream, direction, |message| {
        message.headers = headers;
        message.headers_visible = true;
    });
    // SAFETY: the SDK's exports, with a context that is alive.
    let (name, export): (_, fn(u32, usize, bool) -> u32) = match direction {
        Direction::Request => {
            ("proxy_on_request_headers", |c, n, e| unsafe { exports::proxy_on_request_headers(c, n, e) })
        }
        Direction::Response => {
            ("proxy_on_response_headers", |c, n, e| unsafe { exports::proxy_on_response_headers(c, n, e) })
        }
    };
    callback(
        name,
        context,
        || export(context, count, end_of_stream),
        |action, stopped| {
            with_message(stream, direction, |message| {
                message.complete = end_of_stream;
                if action != 0 || stopped {
                    message.paused = true;
                } else {
                    message.headers_visible = false;
                    message.passed_headers = Some(message.headers.clone());
                }
            });
        },
    );
}

/// Receives a frame of a message. It is buffered while the message is paused, as under Envoy's `StopAllIteration`.
pub fn receive(stream: usize, direction: Direction, frame: Frame) {
    let complete = matches!(frame, Frame::Body { end_of_stream: true, .. } | Frame::Trailers(_));
    with_message(stream, direction, |message| {
        assert!(!message.complete, "the test sends a frame after the end of the message");
        message.complete = complete;
        message.buffered.push_back(frame);
    });
    deliver_buffered(stream, direction);
}

fn deliver_buffered(stream: usize, direction: Direction) {
    loop {
        let next = with_host(|host| {
            let state = &mut host.streams[stream];
            // A local reply ends the request: frames that are still buffered are dropped.
            let over = direction == Direction::Request && state.reply.is_some();
            let alive = state.alive;
            let message = message(state, direction);
            if message.paused || over || !alive { None } else { message.buffered.pop_front() }
        });
        match next {
            None => return,
            Some(Frame::Body { bytes, end_of_stream }) => deliver_body(stream, direction, bytes, end_of_stream),
            Some(Frame::Trailers(trailers)) => deliver_trailers(stream, direction, trailers),
        }
    }
}

fn deliver_body(stream: usize, direction: Direction, bytes: Vec<u8>, last: bool) {
    let context = context_of(stream);
    let size = bytes.len();
    with_message(stream, direction, |message| message.chunk = Some(bytes));
    // SAFETY: the SDK's exports, with a context that is alive.
    let (name, export): (_, fn(u32, usize, bool) -> u32) = match direction {
        Direction::Request => ("proxy_on_request_body", |c, n, e| unsafe { exports::proxy_on_request_body(c, n, e) }),
        Direction::Response => {
            ("proxy_on_response_body", |c, n, e| unsafe { exports::proxy_on_response_body(c, n, e) })
        }
    };
    callback(
        name,
        context,
        || export(context, size, last),
        |action, stopped| {
            with_message(stream, direction, |message| {
                let chunk = message.chunk.take().unwrap_or_default();
                message.passed_body.extend(chunk);
                message.paused = action != 0 || stopped;
            });
        },
    );
}

fn deliver_trailers(stream: usize, direction: Direction, trailers: Pairs) {
    let context = context_of(stream);
    let count = trailers.len();
    with_message(stream, direction, |message| {
        message.trailers = trailers;
        message.trailers_visible = true;
    });
    // SAFETY: the SDK's exports, with a context that is alive.
    let (name, export): (_, fn(u32, usize) -> u32) = match direction {
        Direction::Request => ("proxy_on_request_trailers", |c, n| unsafe { exports::proxy_on_request_trailers(c, n) }),
        Direction::Response => {
            ("proxy_on_response_trailers", |c, n| unsafe { exports::proxy_on_response_trailers(c, n) })
        }
    };
    callback(
        name,
        context,
        || export(context, count),
        |action, stopped| {
            with_message(stream, direction, |message| {
                if action != 0 || stopped {
                    message.paused = true;
                } else {
                    message.trailers_visible = false;
                    message.passed_trailers = Some(message.trailers.clone());
                }
            });
        },
    );
}

/// `proxy_continue_stream`, after the callback that requested it.
pub fn resume(stream: usize, direction: Direction) {
    let resumed = with_host(|host| {
        let state = &mut host.streams[stream];
        let context = state.context;
        if !state.alive {
            host.record_violation(format!("context {context} was resumed after its end"));
            return false;
        }
        if direction == Direction::Request && state.reply.is_some() {
            host.record_violation(format!("context {context} was resumed after a local reply"));
            return false;
        }
        let message = message(state, direction);
        if !message.paused {
            host.record_violation(format!("context {context} was resumed while it was not paused"));
            return false;
        }
        message.paused = false;
        if message.passed_headers.is_none() {
            message.passed_headers = Some(message.headers.clone());
        } else if !message.trailers.is_empty() && message.passed_trailers.is_none() {
            message.passed_trailers = Some(message.trailers.clone());
        }
        true
    });
    if resumed {
        deliver_buffered(stream, direction);
        if direction == Direction::Response {
            destroy_if_complete(stream);
        }
    }
}

/// `proxy_send_local_response`, after the callback that requested it. The reply passes the stream's own response
/// callbacks.
pub fn reply(stream: usize, reply: LocalReply) {
    let response = with_host(|host| {
        let state = &mut host.streams[stream];
        let context = state.context;
        if !state.alive {
            host.record_violation(format!("context {context} was replied to after its end"));
            return None;
        }
        if state.reply.is_some() {
            host.record_violation(format!("context {context} was replied to twice"));
            return None;
        }
        if state.response.passed_headers.is_some() {
            host.record_violation(format!("context {context} was replied to after its response had begun"));
            return None;
        }
        state.request.paused = false;
        state.request.buffered.clear();
        state.response = Message::default();
        state.reply = Some(reply.clone());
        Some(encode_local_reply(&state.request.headers, &reply))
    });
    if let Some((headers, body)) = response {
        deliver_response(stream, headers, body, None);
    }
}

/// Encodes a local reply as Envoy does: content length and type, the form for gRPC, no body for HEAD.
fn encode_local_reply(request: &Pairs, reply: &LocalReply) -> (Pairs, Vec<u8>) {
    let is_grpc = abi::first(request, "content-type").is_some_and(|value| value.starts_with(b"application/grpc"));
    let mut headers = abi::pairs([(":status", reply.status.to_string())]);
    headers.extend(reply.headers.iter().cloned());
    if is_grpc {
        let status = match (reply.grpc_status, reply.status) {
            (-1, 400) => 13,
            (-1, 401) => 16,
            (-1, 403) => 7,
            (-1, 404) => 12,
            (-1, 429 | 502 | 503 | 504) => 14,
            (-1, _) => 2,
            (given, _) => given,
        };
        headers.retain(|(name, _)| name != b":status" && name != b"content-type" && name != b"content-length");
        headers.extend(abi::pairs([
            (&b":status"[..], &b"200"[..]),
            (b"content-type", b"application/grpc"),
            (b"grpc-status", status.to_string().as_bytes()),
            (b"grpc-message", &reply.body),
        ]));
        return (headers, Vec::new());
    }
    if !reply.body.is_empty() {
        headers.extend(abi::pairs([("content-length", reply.body.len().to_string())]));
        if abi::first(&headers, "content-type").is_none() {
            headers.extend(abi::pairs([("content-type", "text/plain")]));
        }
    }
    let head = abi::first(request, ":method") == Some(b"HEAD");
    (headers, if head { Vec::new() } else { reply.body.clone() })
}

/// Delivers a whole response to the filter, which ends the stream.
pub fn deliver_response(stream: usize, headers: Pairs, body: Vec<u8>, trailers: Option<Pairs>) {
    let only_headers = body.is_empty() && trailers.is_none();
    deliver_headers(stream, Direction::Response, headers, only_headers);
    if !is_alive(stream) {
        return;
    }
    if !body.is_empty() {
        receive(stream, Direction::Response, Frame::Body { bytes: body, end_of_stream: trailers.is_none() });
    }
    if let Some(trailers) = trailers {
        receive(stream, Direction::Response, Frame::Trailers(trailers));
    }
    destroy_if_complete(stream);
}

fn destroy_if_complete(stream: usize) {
    let ending = with_host(|host| {
        let state = &host.streams[stream];
        let sent = state.response.complete && !state.response.paused && state.response.buffered.is_empty();
        (sent && state.alive).then_some(host.stream_destruction)
    });
    match ending {
        Some(StreamDestruction::Immediate) => destroy(stream),
        Some(StreamDestruction::Deferred) => with_host(|host| host.pending_destruction.push(stream)),
        Some(StreamDestruction::Manual) | None => {}
    }
}

/// Runs the stream's final callbacks. The host's own object stays until the event is over, or longer under
/// `keep_deleted_contexts`.
pub fn destroy(stream: usize) {
    if !is_alive(stream) {
        return;
    }
    let context = context_of(stream);
    let log = || {
        with_host(|host| host.streams[stream].logging = true);
        // SAFETY: the SDK's export, with a context that is alive.
        callback("proxy_on_log", context, || unsafe { exports::proxy_on_log(context) }, |_, _| ());
        with_host(|host| host.streams[stream].logging = false);
    };
    // SAFETY: as above.
    let done = || callback("proxy_on_done", context, || unsafe { exports::proxy_on_done(context) }, |_, _| ());
    match with_host(|host| host.final_callback_order) {
        FinalCallbackOrder::LogFirst => {
            log();
            done();
        }
        FinalCallbackOrder::DoneFirst => {
            done();
            log();
        }
    }
    with_host(|host| {
        let state = &mut host.streams[stream];
        state.alive = false;
        for message in [&mut state.request, &mut state.response] {
            message.headers_visible = false;
            message.trailers_visible = false;
            message.buffered.clear();
        }
        host.deleted_contexts.push(context);
    });
    // SAFETY: as above; the context goes away with this callback.
    callback("proxy_on_delete", context, || unsafe { exports::proxy_on_delete(context) }, |_, _| ());
}

//! How a stream moves through the filter: headers, body and trailers both ways, resumption, local replies, its end.

use super::abi::{self, Pairs};
use super::exports::{self, callback};
use super::state::{Ending, Farewell, Half, Owner, Part, Reply, Side, StreamState, with};

fn half(state: &mut StreamState, side: Side) -> &mut Half {
    match side {
        Side::Request => &mut state.request,
        Side::Response => &mut state.response,
    }
}

fn on_half<T>(stream: usize, side: Side, act: impl FnOnce(&mut Half) -> T) -> T {
    with(|host| act(half(&mut host.streams[stream], side)))
}

pub fn context_of(stream: usize) -> u32 {
    with(|host| host.streams[stream].context)
}

pub fn is_alive(stream: usize) -> bool {
    with(|host| host.streams[stream].alive)
}

/// Creates the stream's context in the VM and shows it the request's headers.
pub fn begin(root: u32, context: u32, headers: Pairs, end_of_stream: bool) -> usize {
    let stream = with(|host| {
        host.remember_secrets(&headers);
        host.streams.push(StreamState {
            context,
            root,
            request: Half::default(),
            response: Half::default(),
            reply: None,
            alive: true,
            logging: false,
            may_stay_paused: false,
            filter_state: Default::default(),
        });
        let stream = host.streams.len() - 1;
        host.lingering.retain(|id| *id != context);
        host.contexts.insert(context, Owner::Stream(stream));
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
    show_headers(stream, Side::Request, headers, end_of_stream);
    stream
}

pub fn show_headers(stream: usize, side: Side, headers: Pairs, end_of_stream: bool) {
    let context = context_of(stream);
    let count = headers.len();
    on_half(stream, side, |half| {
        half.headers = headers;
        half.headers_visible = true;
    });
    // SAFETY: the SDK's exports, with a context that is alive.
    let (name, export): (_, fn(u32, usize, bool) -> u32) = match side {
        Side::Request => ("proxy_on_request_headers", |c, n, e| unsafe { exports::proxy_on_request_headers(c, n, e) }),
        Side::Response => {
            ("proxy_on_response_headers", |c, n, e| unsafe { exports::proxy_on_response_headers(c, n, e) })
        }
    };
    callback(
        name,
        context,
        || export(context, count, end_of_stream),
        |action, stopped| {
            on_half(stream, side, |half| {
                half.complete = end_of_stream;
                if action != 0 || stopped {
                    half.paused = true;
                } else {
                    half.headers_visible = false;
                    half.passed_headers = Some(half.headers.clone());
                }
            });
        },
    );
}

/// One more part of a message; it waits while the stream is paused at its headers, as Envoy's `StopAllIteration` does.
pub fn arrive(stream: usize, side: Side, part: Part) {
    let complete = matches!(part, Part::Body { last: true, .. } | Part::Trailers(_));
    on_half(stream, side, |half| {
        assert!(!half.complete, "the test sends more after the end of the message");
        half.complete = complete;
        half.waiting.push_back(part);
    });
    drain(stream, side);
}

fn drain(stream: usize, side: Side) {
    loop {
        let next = with(|host| {
            let state = &mut host.streams[stream];
            // A local reply ends the request: what is still on its way goes nowhere.
            let over = side == Side::Request && state.reply.is_some();
            let alive = state.alive;
            let half = half(state, side);
            if half.paused || over || !alive { None } else { half.waiting.pop_front() }
        });
        match next {
            None => return,
            Some(Part::Body { bytes, last }) => show_body(stream, side, bytes, last),
            Some(Part::Trailers(trailers)) => show_trailers(stream, side, trailers),
        }
    }
}

fn show_body(stream: usize, side: Side, bytes: Vec<u8>, last: bool) {
    let context = context_of(stream);
    let size = bytes.len();
    on_half(stream, side, |half| half.piece = Some(bytes));
    // SAFETY: the SDK's exports, with a context that is alive.
    let (name, export): (_, fn(u32, usize, bool) -> u32) = match side {
        Side::Request => ("proxy_on_request_body", |c, n, e| unsafe { exports::proxy_on_request_body(c, n, e) }),
        Side::Response => ("proxy_on_response_body", |c, n, e| unsafe { exports::proxy_on_response_body(c, n, e) }),
    };
    callback(
        name,
        context,
        || export(context, size, last),
        |action, stopped| {
            on_half(stream, side, |half| {
                let piece = half.piece.take().unwrap_or_default();
                half.passed_body.extend(piece);
                half.paused = action != 0 || stopped;
            });
        },
    );
}

fn show_trailers(stream: usize, side: Side, trailers: Pairs) {
    let context = context_of(stream);
    let count = trailers.len();
    on_half(stream, side, |half| {
        half.trailers = trailers;
        half.trailers_visible = true;
    });
    // SAFETY: the SDK's exports, with a context that is alive.
    let (name, export): (_, fn(u32, usize) -> u32) = match side {
        Side::Request => ("proxy_on_request_trailers", |c, n| unsafe { exports::proxy_on_request_trailers(c, n) }),
        Side::Response => ("proxy_on_response_trailers", |c, n| unsafe { exports::proxy_on_response_trailers(c, n) }),
    };
    callback(
        name,
        context,
        || export(context, count),
        |action, stopped| {
            on_half(stream, side, |half| {
                if action != 0 || stopped {
                    half.paused = true;
                } else {
                    half.trailers_visible = false;
                    half.passed_trailers = Some(half.trailers.clone());
                }
            });
        },
    );
}

/// `continue_stream`, after the callback that asked for it.
pub fn resume(stream: usize, side: Side) {
    let resumed = with(|host| {
        let state = &mut host.streams[stream];
        let context = state.context;
        if !state.alive {
            host.violation(format!("context {context} was resumed after its end"));
            return false;
        }
        if side == Side::Request && state.reply.is_some() {
            host.violation(format!("context {context} was resumed after a local reply"));
            return false;
        }
        let half = half(state, side);
        if !half.paused {
            host.violation(format!("context {context} was resumed while it was not paused"));
            return false;
        }
        half.paused = false;
        if half.passed_headers.is_none() {
            half.passed_headers = Some(half.headers.clone());
        } else if !half.trailers.is_empty() && half.passed_trailers.is_none() {
            half.passed_trailers = Some(half.trailers.clone());
        }
        true
    });
    if resumed {
        drain(stream, side);
        if side == Side::Response {
            end_if_complete(stream);
        }
    }
}

/// `send_local_response`, after the callback that asked for it: the reply runs through the stream's own response
/// callbacks.
pub fn reply(stream: usize, reply: Reply) {
    let response = with(|host| {
        let state = &mut host.streams[stream];
        let context = state.context;
        if !state.alive {
            host.violation(format!("context {context} was replied to after its end"));
            return None;
        }
        if state.reply.is_some() {
            host.violation(format!("context {context} was replied to twice"));
            return None;
        }
        if state.response.passed_headers.is_some() {
            host.violation(format!("context {context} was replied to after its response had begun"));
            return None;
        }
        state.request.paused = false;
        state.request.waiting.clear();
        state.response = Half::default();
        state.reply = Some(reply.clone());
        Some(envoys_reply(&state.request.headers, &reply))
    });
    if let Some((headers, body)) = response {
        show_response(stream, headers, body, None);
    }
}

/// What Envoy makes of a local reply before it sends it: lengths, a type, gRPC's form, no body for HEAD.
fn envoys_reply(request: &Pairs, reply: &Reply) -> (Pairs, Vec<u8>) {
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

/// A whole response passes through the filter, then the stream ends.
pub fn show_response(stream: usize, headers: Pairs, body: Vec<u8>, trailers: Option<Pairs>) {
    let only_headers = body.is_empty() && trailers.is_none();
    show_headers(stream, Side::Response, headers, only_headers);
    if !is_alive(stream) {
        return;
    }
    if !body.is_empty() {
        arrive(stream, Side::Response, Part::Body { bytes: body, last: trailers.is_none() });
    }
    if let Some(trailers) = trailers {
        arrive(stream, Side::Response, Part::Trailers(trailers));
    }
    end_if_complete(stream);
}

fn end_if_complete(stream: usize) {
    let ending = with(|host| {
        let state = &host.streams[stream];
        let sent = state.response.complete && !state.response.paused && state.response.waiting.is_empty();
        (sent && state.alive).then_some(host.ending)
    });
    match ending {
        Some(Ending::AtOnce) => finish(stream),
        Some(Ending::Later) => with(|host| host.ending_later.push(stream)),
        Some(Ending::ByTest) | None => {}
    }
}

/// The stream's last callbacks; the host's own object stays until the event is over, or longer if the test wants it.
pub fn finish(stream: usize) {
    if !is_alive(stream) {
        return;
    }
    let context = context_of(stream);
    let log = || {
        with(|host| host.streams[stream].logging = true);
        // SAFETY: the SDK's export, with a context that is alive.
        callback("proxy_on_log", context, || unsafe { exports::proxy_on_log(context) }, |_, _| ());
        with(|host| host.streams[stream].logging = false);
    };
    // SAFETY: as above.
    let done = || callback("proxy_on_done", context, || unsafe { exports::proxy_on_done(context) }, |_, _| ());
    match with(|host| host.farewell) {
        Farewell::LogFirst => {
            log();
            done();
        }
        Farewell::DoneFirst => {
            done();
            log();
        }
    }
    with(|host| {
        let state = &mut host.streams[stream];
        state.alive = false;
        for half in [&mut state.request, &mut state.response] {
            half.headers_visible = false;
            half.trailers_visible = false;
            half.waiting.clear();
        }
        host.lingering.push(context);
    });
    // SAFETY: as above; the context goes away with this callback.
    callback("proxy_on_delete", context, || unsafe { exports::proxy_on_delete(context) }, |_, _| ());
}

//! Traps on purpose: part of the filter only if it is built with the feature `traps`, for tests/mesh/traps.rs.
//!
//! The request header `x-trap: KIND EVENT CALLS` arms one trap in its VM. It springs in the first event of that name from
//! then on, after as many host calls: with 0, before the first one.

#![expect(clippy::panic, reason = "this module traps")]

use std::cell::Cell;
use std::hint::black_box;

use rest_sessions_core::worker::Event;

#[derive(Clone, Copy)]
struct Trap {
    kind: Kind,
    event: Name,
    calls: u32,
    /// The event has come.
    counts: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Panic,
    Abort,
    StackOverflow,
    OutOfMemory,
}

#[derive(Clone, Copy, PartialEq)]
enum Name {
    RequestHeaders,
    CalloutResponse,
    Wakeup,
    Tick,
    ResponseHeaders,
    StreamEnded,
}

thread_local! {
    static ARMED: Cell<Option<Trap>> = const { Cell::new(None) };
}

/// An event, before the filter handles it.
pub fn at_event(event: &Event) {
    if let Event::RequestHeaders { headers, .. } = event
        && let Some(trap) = headers.first("x-trap").and_then(parse)
    {
        ARMED.set(Some(trap));
    }
    let Some(mut trap) = ARMED.get() else { return };
    trap.counts |= name_of(event) == Some(trap.event);
    ARMED.set(Some(trap));
    spring_at(0);
}

/// A host call, after it has returned.
pub fn at_host_call() {
    spring_at(1);
}

fn spring_at(calls: u32) {
    let Some(mut trap) = ARMED.get().filter(|trap| trap.counts) else { return };
    trap.calls = trap.calls.saturating_sub(calls);
    ARMED.set(Some(trap));
    if trap.calls == 0 {
        spring(trap.kind);
    }
}

fn parse(value: &[u8]) -> Option<Trap> {
    let mut words = std::str::from_utf8(value).ok()?.split(' ');
    let kind = match words.next()? {
        "panic" => Kind::Panic,
        "abort" => Kind::Abort,
        "stack-overflow" => Kind::StackOverflow,
        "out-of-memory" => Kind::OutOfMemory,
        _ => return None,
    };
    let event = match words.next()? {
        "request-headers" => Name::RequestHeaders,
        "callout-response" => Name::CalloutResponse,
        "wakeup" => Name::Wakeup,
        "tick" => Name::Tick,
        "response-headers" => Name::ResponseHeaders,
        "stream-ended" => Name::StreamEnded,
        _ => return None,
    };
    Some(Trap { kind, event, calls: words.next()?.parse().ok()?, counts: false })
}

fn name_of(event: &Event) -> Option<Name> {
    match event {
        Event::RequestHeaders { .. } => Some(Name::RequestHeaders),
        Event::CalloutResponse { .. } => Some(Name::CalloutResponse),
        Event::Wakeup => Some(Name::Wakeup),
        Event::Tick => Some(Name::Tick),
        Event::ResponseHeaders { .. } => Some(Name::ResponseHeaders),
        Event::StreamEnded(_) => Some(Name::StreamEnded),
        _ => None,
    }
}

fn spring(kind: Kind) -> ! {
    match kind {
        Kind::Panic => panic!("on purpose"),
        Kind::Abort => std::process::abort(),
        Kind::StackOverflow => {
            black_box(recurse(0));
            std::process::abort()
        }
        Kind::OutOfMemory => {
            let mut kept = Vec::new();
            loop {
                kept.push(black_box(Vec::<u8>::with_capacity(16 << 20)));
            }
        }
    }
}

#[expect(unconditional_recursion, reason = "it overflows the stack")]
fn recurse(depth: u64) -> u64 {
    let deeper = black_box(recurse(black_box(depth.wrapping_add(1))));
    deeper.wrapping_add(depth)
}

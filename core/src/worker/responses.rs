//! The response of an upstream: what it says of its session is removed and done before the client sees the response.

use super::Worker;
use crate::action::{Action, StreamRef};
use crate::exchange::{self, AwaitChange, Context, Effects, ResponseStart, ResponseVerdict};
use crate::http::headers::Headers;
use crate::policy::session_change::Change;
use crate::session::lookup::Failure;

impl Worker {
    #[inline(never)]
    pub(super) fn response_headers(
        &mut self,
        cx: &Context<'_>,
        stream: StreamRef,
        headers: &Headers,
        actions: &mut Vec<Action>,
    ) {
        let awaited = self.streams.take_response(stream);
        let mut effects = Effects::new(cx.config, actions);
        match exchange::response_headers(cx.config, awaited, headers, &mut effects) {
            ResponseStart::Continue => actions.push(Action::ContinueResponse),
            ResponseStart::Change(exchange, change) => self.change_session(cx, stream, exchange, change, actions),
        }
    }

    #[inline(never)]
    fn change_session(
        &mut self,
        cx: &Context<'_>,
        stream: StreamRef,
        exchange: AwaitChange,
        change: Change,
        actions: &mut Vec<Action>,
    ) {
        let known = match change {
            // A kill holds next to nothing, and ends the session.
            Change::Set(_) if !self.has_room() => Some(Err(Failure::Busy)),
            change => {
                let (backend, token) = (&exchange.rule().backend, exchange.token());
                self.sessions.mutate(cx, backend, token, change, stream, exchange.trace(), actions)
            }
        };
        match known {
            None => {
                self.streams.await_change(stream, exchange);
                actions.push(Action::Track);
            }
            Some(outcome) => {
                let mut effects = Effects::new(cx.config, actions);
                let verdict = exchange.conclude(cx.config, outcome, &mut effects);
                Self::conclude_response(verdict, actions);
            }
        }
    }

    pub(super) fn conclude_response(verdict: ResponseVerdict, actions: &mut Vec<Action>) {
        actions.push(match verdict {
            ResponseVerdict::Continue => Action::ContinueResponse,
            ResponseVerdict::Reply(reply) => Action::Reply(reply),
        });
    }
}

//! What becomes of a request in the host, once a step was carried out.

use crate::host::{self, Refused};
use crate::waiting::Ticket;
use rest_sessions_core::http::local_reply::{Denial, LocalReply};

/// Where a request stands after a step was carried out.
pub enum Progress {
    Forward,
    /// It has gone its way, and the worker is to be told of its end all the same.
    Followed(Ticket),
    Replied,
    Waiting(Ticket),
}

pub fn send_reply(reply: &LocalReply) -> Progress {
    if let Err(refused) = host::reply(reply) {
        // The request stays paused, and Envoy ends it after `stream_idle_timeout`.
        log::error!("event=reply_refused status={refused:?}");
    }
    Progress::Replied
}

pub fn host_refused(refused: &Refused) -> String {
    format!("event=host_call_refused status={refused:?}")
}

/// Turns a request away that nothing was decided about: what is not understood does not pass.
pub fn turn_away(why: &str) -> Progress {
    log::error!("{why}");
    send_reply(&LocalReply::new(Denial::Unavailable { retry: false }, "", None))
}

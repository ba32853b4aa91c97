//! What a decision leads to: the request goes on, or is answered by a local reply.

use super::await_response::AwaitResponse;
use super::watch::Watch;
use crate::http::local_reply::LocalReply;

pub enum Verdict {
    Forward(FollowUp),
    Reply(LocalReply),
}

/// What remains to be done for a request that went on to the upstream.
#[derive(Default)]
pub struct FollowUp {
    /// Its session is looked up again while it is open.
    pub watch: Option<Watch>,
    /// Its response may change its session.
    pub response: Option<AwaitResponse>,
}

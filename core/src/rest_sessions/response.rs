//! The response of rest-sessions to a call, and what its status alone says.

use crate::session::lookup::{BadResponse, Failure, Outage};

/// How far the host's timers and its clock may disagree, in milliseconds.
const TIMER_SLACK_MS: u64 = 5;

/// What the host has for a call: a response, or the lack of one.
pub enum CalloutResponse {
    /// The call was dispatched and there is no status: the connection was reset, or the call's timeout passed before
    /// the response was complete.
    Reset,
    /// The host has the whole response, sent by the service or made by Envoy.
    Complete {
        /// `:status`. Zero if it is absent or not a number.
        status: u16,
        /// Whether the service sent the response. Envoy's own 503 and 504 have no `x-envoy-upstream-service-time`.
        from_service: bool,
        /// `x-max-idle`: the service has ended the session if it was idle for more than so many seconds.
        max_idle_s: Option<u64>,
        /// The content of the response, if its size permits.
        body: Body,
    },
}

/// The content of a response, limited in size.
pub enum Body {
    /// At most [`MAX_BODY`](crate::session::lookup::MAX_BODY) bytes.
    Read(Vec<u8>),
    /// Longer than [`MAX_BODY`](crate::session::lookup::MAX_BODY), and therefore not read.
    TooLarge,
}

impl CalloutResponse {
    /// The longest idle time, in seconds, that the service has enforced. `None`: it ignores `max_idle`.
    #[must_use]
    pub fn max_idle_s(&self) -> Option<u64> {
        if let Self::Complete { status: 200, max_idle_s, .. } = self { *max_idle_s } else { None }
    }

    /// The body of a response with status 200. `late`: the call's timeout has passed.
    ///
    /// # Errors
    ///
    /// - [`Failure::Outage`]: no response, a 503 or 504 of Envoy's own, or a status of 429 or at least 500.
    /// - [`Failure::Bad`]: any other status than 200, or a body that is too large.
    pub fn body(&self, late: bool) -> Result<&[u8], Failure> {
        let outage = |outage| Err(Failure::Outage(outage));
        let bad = |answer| Err(Failure::Bad(answer));
        match self {
            Self::Reset if late => outage(Outage::Timeout),
            Self::Reset => outage(Outage::Connect),
            Self::Complete { status: 504, from_service: false, .. } => outage(Outage::Timeout),
            Self::Complete { status: 503, from_service: false, .. } => outage(Outage::Connect),
            Self::Complete { status: status @ (429 | 500..), .. } => outage(Outage::Status(*status)),
            Self::Complete { status: 200, body: Body::Read(body), .. } => Ok(body),
            Self::Complete { status: 200, body: Body::TooLarge, .. } => bad(BadResponse::TooLarge),
            Self::Complete { status, .. } => bad(BadResponse::Status(*status)),
        }
    }
}

/// Whether a call that had to be over at `deadline_ms` has timed out.
#[must_use]
pub fn is_late(now_ms: u64, deadline_ms: u64) -> bool {
    now_ms.saturating_add(TIMER_SLACK_MS) >= deadline_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, from_service: bool) -> Result<Vec<u8>, Failure> {
        let response =
            CalloutResponse::Complete { status, from_service, max_idle_s: None, body: Body::Read(b"{}".to_vec()) };
        response.body(false).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_body_that_is_too_large_is_a_bad_response() {
        let response =
            CalloutResponse::Complete { status: 200, from_service: true, max_idle_s: None, body: Body::TooLarge };
        assert_eq!(response.body(false), Err(Failure::Bad(BadResponse::TooLarge)));
    }

    #[test]
    fn resets_timeouts_and_errors_of_the_service_are_outages() {
        assert_eq!(CalloutResponse::Reset.body(false), Err(Failure::Outage(Outage::Connect)));
        assert_eq!(CalloutResponse::Reset.body(true), Err(Failure::Outage(Outage::Timeout)));
        assert_eq!(status(504, false), Err(Failure::Outage(Outage::Timeout)));
        assert_eq!(status(503, false), Err(Failure::Outage(Outage::Connect)));
        for code in [429, 500, 502, 503, 504, 599] {
            assert_eq!(status(code, true), Err(Failure::Outage(Outage::Status(code))));
        }
    }

    #[test]
    fn any_other_status_is_a_bad_response() {
        assert_eq!(status(200, true), Ok(b"{}".to_vec()));
        for code in [0, 100, 201, 204, 301, 400, 401, 403, 404, 413] {
            assert_eq!(status(code, true), Err(Failure::Bad(BadResponse::Status(code))));
        }
    }
}

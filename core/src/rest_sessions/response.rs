//! An answer of rest-sessions as it came, and what can be told of it by its status alone.

use crate::session::lookup::{BadResponse, Failure, Outage};

/// An answer as it came, or the lack of one.
pub enum Answer {
    /// The call broke after it had gone out, and there is no status: the connection was reset, or the time was up
    /// before the whole answer was there.
    Broken { late: bool },
    Complete {
        status: u16,
        /// Whether a service gave the answer; Envoy's own 503 and 504 bear no `x-envoy-upstream-service-time`.
        from_service: bool,
        body: Body,
    },
}

pub enum Body {
    Read(Vec<u8>),
    /// Longer than [`crate::session::lookup::MAX_BODY`], and therefore not read.
    TooLarge,
}

impl Answer {
    /// The body of an answer with status 200.
    pub fn body(&self) -> Result<&[u8], Failure> {
        let outage = |outage| Err(Failure::Outage(outage));
        let bad = |answer| Err(Failure::Bad(answer));
        match self {
            Self::Broken { late: true } | Self::Complete { status: 504, from_service: false, .. } => {
                outage(Outage::Timeout)
            }
            Self::Broken { late: false } | Self::Complete { status: 503, from_service: false, .. } => {
                outage(Outage::Connect)
            }
            Self::Complete { status: status @ (429 | 500..), .. } => outage(Outage::Status(*status)),
            Self::Complete { status: 200, body: Body::Read(body), .. } => Ok(body),
            Self::Complete { status: 200, body: Body::TooLarge, .. } => bad(BadResponse::TooLarge),
            Self::Complete { status, .. } => bad(BadResponse::Status(*status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, from_service: bool) -> Result<Vec<u8>, Failure> {
        let answer = Answer::Complete { status, from_service, body: Body::Read(b"{}".to_vec()) };
        answer.body().map(<[u8]>::to_vec)
    }

    #[test]
    fn an_answer_that_is_too_large_is_a_bad_one() {
        let answer = Answer::Complete { status: 200, from_service: true, body: Body::TooLarge };
        assert_eq!(answer.body(), Err(Failure::Bad(BadResponse::TooLarge)));
    }

    #[test]
    fn broken_overloaded_and_failing_services_are_outages() {
        assert_eq!(Answer::Broken { late: false }.body(), Err(Failure::Outage(Outage::Connect)));
        assert_eq!(Answer::Broken { late: true }.body(), Err(Failure::Outage(Outage::Timeout)));
        assert_eq!(status(504, false), Err(Failure::Outage(Outage::Timeout)));
        assert_eq!(status(503, false), Err(Failure::Outage(Outage::Connect)));
        for code in [429, 500, 502, 503, 504, 599] {
            assert_eq!(status(code, true), Err(Failure::Outage(Outage::Status(code))));
        }
    }

    #[test]
    fn any_other_status_is_a_bad_answer() {
        assert_eq!(status(200, true), Ok(b"{}".to_vec()));
        for code in [0, 100, 201, 204, 301, 400, 401, 403, 404, 413] {
            assert_eq!(status(code, true), Err(Failure::Bad(BadResponse::Status(code))));
        }
    }
}

//! The ids that a caller gives a request, in the form in which they may be logged: a client chooses them.

use axum::http::{HeaderMap, HeaderValue};

const MAX_REQUEST_ID: usize = 128;

/// A longer row of letters and digits may be a token, or most of one. Ids of requests have at most so many.
const MAX_ROW: usize = 40;

/// Headers with ids. They are parsed when a line is logged, which few requests need.
#[derive(Default)]
pub struct RequestIds {
    request_id: Header,
    traceparent: Header,
    b3: Header,
    b3_trace_id: Header,
}

#[derive(Default)]
enum Header {
    #[default]
    Absent,
    Single(HeaderValue),
    Repeated,
}

impl Header {
    /// The text of a header that occurs once, in ASCII.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Single(value) => value.to_str().ok(),
            Self::Absent | Self::Repeated => None,
        }
    }
}

impl RequestIds {
    /// One pass over the headers costs less than four lookups.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut ids = Self::default();
        for (name, value) in headers {
            let header = match name.as_str() {
                "x-request-id" => &mut ids.request_id,
                "traceparent" => &mut ids.traceparent,
                "b3" => &mut ids.b3,
                "x-b3-traceid" => &mut ids.b3_trace_id,
                _ => continue,
            };
            *header = match header {
                Header::Absent => Header::Single(value.clone()),
                Header::Single(_) | Header::Repeated => Header::Repeated,
            };
        }
        ids
    }

    /// `x-request-id`, if it is 1 to 128 visible ASCII characters; `masked` if it may contain a token.
    pub fn request_id(&self) -> Option<&str> {
        let id = self.request_id.text()?;
        if !(1..=MAX_REQUEST_ID).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let rows = id.split(|c: char| !c.is_ascii_alphanumeric());
        if rows.into_iter().any(|row| row.len() > MAX_ROW) { Some("masked") } else { Some(id) }
    }

    /// The id of the trace, by W3C's `traceparent` or else by either form of B3.
    pub fn trace_id(&self) -> Option<&str> {
        let b3 = || b3_trace_id(self.b3.text()).or_else(|| b3_trace_id(self.b3_trace_id.text()));
        w3c_trace_id(self.traceparent.text()).or_else(b3)
    }
}

/// `VERSION-TRACE-PARENT-FLAGS`.
fn w3c_trace_id(traceparent: Option<&str>) -> Option<&str> {
    let mut parts = traceparent?.split('-');
    let version = parts.next().filter(|version| version.len() == 2 && is_hex(version) && *version != "ff");
    let trace = parts.next().filter(|trace| trace.len() == 32 && is_hex(trace) && !is_zero(trace));
    version.and(trace)
}

/// `TRACE`, or `TRACE-SPAN` and more. A trace has 16 or 32 digits.
fn b3_trace_id(b3: Option<&str>) -> Option<&str> {
    b3?.split('-').next().filter(|trace| matches!(trace.len(), 16 | 32) && is_hex(trace) && !is_zero(trace))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_zero(digits: &str) -> bool {
    digits.bytes().all(|digit| digit == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn ids(headers: &[(&'static str, &str)]) -> RequestIds {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        RequestIds::of(&map)
    }

    fn request_id(value: &str) -> Option<String> {
        ids(&[("x-request-id", value)]).request_id().map(str::to_owned)
    }

    fn trace_id(headers: &[(&'static str, &str)]) -> Option<String> {
        ids(headers).trace_id().map(str::to_owned)
    }

    #[test]
    fn a_request_id_is_at_most_128_visible_ascii_characters() {
        for good in ["a", "0c6d1f4e-7f6b-4a39-8f1c-111122223333", "{\"=\\[", &"ab-".repeat(42)] {
            assert_eq!(request_id(good).as_deref(), Some(good));
        }
        for bad in ["", "a b", "a\tb", "ü", &"ab-".repeat(43)] {
            assert_eq!(request_id(bad), None, "{bad:?}");
        }
        for count in [2, 3] {
            assert_eq!(ids(&vec![("x-request-id", "a"); count]).request_id(), None);
        }
    }

    #[test]
    fn a_request_id_that_may_contain_a_token_is_masked() {
        let token = format!("{}Z1hfa9a0b0", "aB3".repeat(18));
        for id in [&token, &token[..60], &format!("id={token}"), &format!("{token}{token}"), &"1".repeat(41)] {
            assert_eq!(request_id(id).as_deref(), Some("masked"), "{id}");
        }
        assert_eq!(request_id(&"1".repeat(40)), Some("1".repeat(40)));
    }

    #[test]
    fn a_trace_id_is_read_from_traceparent_or_else_from_b3() {
        let w3c = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let other = "a".repeat(32);
        for headers in [
            &[("traceparent", w3c.as_str()), ("b3", &other)][..],
            &[("traceparent", "nonsense"), ("b3", &format!("{TRACE}-00f067aa0ba902b7-1"))],
            &[("b3", "0"), ("x-b3-traceid", TRACE)],
        ] {
            assert_eq!(trace_id(headers).as_deref(), Some(TRACE), "{headers:?}");
        }
        assert_eq!(trace_id(&[("x-b3-traceid", "00f067aa0ba902b7")]).as_deref(), Some("00f067aa0ba902b7"));
    }

    #[test]
    fn an_invalid_trace_id_is_left_out() {
        let zero = "0".repeat(32);
        for (header, value) in [
            ("traceparent", format!("ff-{TRACE}-00f067aa0ba902b7-01")),
            ("traceparent", format!("00-{zero}-00f067aa0ba902b7-01")),
            ("traceparent", format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase())),
            ("traceparent", TRACE.to_owned()),
            ("b3", zero.clone()),
            ("b3", "d".to_owned()),
            ("x-b3-traceid", format!("{TRACE}0")),
            ("x-b3-traceid", "\"".repeat(32)),
        ] {
            assert_eq!(trace_id(&[(header, &value)]), None, "{header}: {value}");
        }
    }
}

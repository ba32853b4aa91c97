//! Validation of parameters: app, id, ip, ttl, dt. The messages are those of the original, word for word.

use thiserror::Error;

/// The largest integer that a JSON number represents exactly in JavaScript. Larger ones are reduced to it.
pub const MAX_SECONDS: i64 = (1 << 53) - 1;
const DEFAULT_TTL: i64 = 7200;
const MIN_SECONDS: i64 = 10;
const MAX_ID: usize = 128;
const MAX_IP: usize = 39;

/// A parameter that breaks a rule. Part of the wire contract.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidParam {
    #[error("No {0} supplied")]
    Missing(&'static str),
    #[error("Invalid {0} format")]
    Format(&'static str),
    #[error("{0}")]
    Value(String),
}

impl InvalidParam {
    /// `name` in the body of the response.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missingParameter",
            Self::Format(_) => "invalidFormat",
            Self::Value(_) => "invalidValue",
        }
    }
}

/// The name of an application. The keys in Redis rely on it having no `:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct App(String);

impl App {
    /// Accepts 3 to 20 ASCII letters, digits, `_` and `-`.
    pub fn parse(text: &str) -> Result<Self, InvalidParam> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (3..=20).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidParam::Format("app"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user's id: 1 to 128 characters without line breaks.
pub fn id(text: &str) -> Result<String, InvalidParam> {
    one_line("id", text, MAX_ID)
}

/// 1 to 39 characters without line breaks. Required.
pub fn ip(text: Option<&str>) -> Result<String, InvalidParam> {
    match text {
        None | Some("") => Err(InvalidParam::Missing("ip")),
        Some(text) => one_line("ip", text, MAX_IP),
    }
}

/// Seconds, 10 at least; 7,200 if absent.
pub fn ttl(text: Option<&str>) -> Result<i64, InvalidParam> {
    match text {
        None | Some("") => Ok(DEFAULT_TTL),
        Some(text) => duration(text),
    }
}

/// Seconds, 10 at least. Required. As in the original, the message names `ttl`.
pub fn dt(text: Option<&str>) -> Result<i64, InvalidParam> {
    duration(text.unwrap_or_default())
}

/// The longest idle time that a caller of `get` accepts, in seconds: digits only, at least 1. `None` if it is absent.
pub fn max_idle(text: Option<&str>) -> Result<Option<i64>, InvalidParam> {
    let Some(text) = text else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    leading_integer(text)
        .filter(|seconds| digits && *seconds >= 1)
        .map(Some)
        .ok_or_else(|| InvalidParam::Value("max_idle must be a positive integer, in seconds".to_owned()))
}

/// Whether a `get` is a use of the session: `1`, the default, or `0`.
pub fn touch(text: Option<&str>) -> Result<bool, InvalidParam> {
    match text {
        None | Some("1") => Ok(true),
        Some("0") => Ok(false),
        Some(_) => Err(InvalidParam::Value("touch must be 0 or 1".to_owned())),
    }
}

/// Whether a renewal ends the other sessions of the user: `1`, or absent.
pub fn others(text: Option<&str>) -> Result<bool, InvalidParam> {
    match text {
        None => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(InvalidParam::Value("others must be 1".to_owned())),
    }
}

fn one_line(name: &'static str, text: &str, max: usize) -> Result<String, InvalidParam> {
    let is_line_break = |c| matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}');
    if text.is_empty() || text.chars().count() > max || text.contains(is_line_break) {
        return Err(InvalidParam::Format(name));
    }
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<i64, InvalidParam> {
    leading_integer(text)
        .filter(|n| *n >= MIN_SECONDS)
        .ok_or_else(|| InvalidParam::Value(format!("ttl must be a positive integer >= {MIN_SECONDS}")))
}

/// Parses as JavaScript's `parseInt` does: white space, a sign, digits; the rest is ignored.
fn leading_integer(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value = None;
    for digit in digits.chars().map_while(|c| c.to_digit(10)) {
        let so_far: i64 = value.unwrap_or(0);
        value = Some(so_far.saturating_mul(10).saturating_add(i64::from(digit)).min(MAX_SECONDS));
    }
    value.map(|n| if negative { n.saturating_neg() } else { n })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_3_to_20_letters_digits_underscores_and_hyphens() {
        for good in ["abc", "a-_", "A1234567890123456789"] {
            assert_eq!(App::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "ab", "a:b", "a b", "äöü", "abc\n", "A12345678901234567890"] {
            assert_eq!(App::parse(bad), Err(InvalidParam::Format("app")), "{bad:?}");
        }
    }

    #[test]
    fn an_id_is_1_to_128_characters_of_one_line() {
        for good in ["a", "\t", "\0", "a,b:c", "ü", &"ü".repeat(128)] {
            assert_eq!(id(good).as_deref(), Ok(good));
        }
        for bad in ["", "a\n", "\r", "a\u{2028}b", "\u{2029}", &"a".repeat(129)] {
            assert_eq!(id(bad), Err(InvalidParam::Format("id")), "{bad:?}");
        }
    }

    #[test]
    fn an_ip_is_1_to_39_characters() {
        assert_eq!(ip(Some("192.168.99.22")).as_deref(), Ok("192.168.99.22"));
        assert_eq!(ip(Some(&"f".repeat(39))).unwrap().len(), 39);
        assert_eq!(ip(Some(&"f".repeat(40))), Err(InvalidParam::Format("ip")));
        assert_eq!(ip(Some("a\nb")), Err(InvalidParam::Format("ip")));
        for missing in [None, Some("")] {
            assert_eq!(ip(missing).unwrap_err().to_string(), "No ip supplied");
        }
    }

    #[test]
    fn a_ttl_is_read_as_javascript_reads_integers() {
        for (text, expected) in [("10", 10), ("0060", 60), (" 60s", 60), ("+60", 60), ("60.9", 60), ("60,70", 60)] {
            assert_eq!(ttl(Some(text)), Ok(expected), "{text}");
        }
        assert_eq!(ttl(None), Ok(7200));
        assert_eq!(ttl(Some("")), Ok(7200));
        for bad in ["9", "0", "-60", "abc", "1e3", "Infinity", "NaN", "-", "٦٠٠"] {
            let error = ttl(Some(bad)).unwrap_err();
            assert_eq!(error.to_string(), "ttl must be a positive integer >= 10", "{bad}");
            assert_eq!(error.name(), "invalidValue");
        }
    }

    #[test]
    fn a_larger_number_is_reduced_to_the_largest_exact_one() {
        assert_eq!(ttl(Some(&"9".repeat(400))), Ok(MAX_SECONDS));
        assert_eq!(dt(Some("9223372036854775808")), Ok(MAX_SECONDS));
    }

    #[test]
    fn dt_has_no_default() {
        assert_eq!(dt(Some("600")), Ok(600));
        assert!(dt(None).is_err());
        assert!(dt(Some("")).is_err());
    }

    #[test]
    fn max_idle_is_a_positive_number_of_seconds() {
        assert_eq!(max_idle(None), Ok(None));
        assert_eq!(max_idle(Some("1800")), Ok(Some(1800)));
        assert_eq!(max_idle(Some(&"9".repeat(40))), Ok(Some(MAX_SECONDS)));
        for bad in ["", "0", "-1", "+1", " 1", "1s", "1.5", "60,70"] {
            assert!(max_idle(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn touch_is_0_or_1() {
        assert_eq!((touch(None), touch(Some("1")), touch(Some("0"))), (Ok(true), Ok(true), Ok(false)));
        for bad in ["", "2", "false", "0,0"] {
            assert!(touch(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn others_is_1_or_absent() {
        assert_eq!((others(None), others(Some("1"))), (Ok(false), Ok(true)));
        for bad in ["", "0", "2", "true", "1,1"] {
            assert!(others(Some(bad)).is_err(), "{bad}");
        }
    }
}

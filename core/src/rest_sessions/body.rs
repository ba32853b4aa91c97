//! Parses the bodies of rest-sessions' responses. A body in any other form is a [`Failure::Bad`].

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::session::data::Scalar;
use crate::session::json::{self, Member};
use crate::session::lookup::{BadResponse, Failure, Lookup};
use crate::session::session::Parts;

/// Parses the response to a lookup.
#[must_use]
pub fn lookup(body: &[u8]) -> Lookup {
    match session(body) {
        Ok(Some(parts)) => Lookup::Active(parts.into()),
        Ok(None) => Lookup::None,
        Err(wrong) => Lookup::Failed(shape(wrong)),
    }
}

/// Parses the response to a `kill`: whether the session existed.
///
/// # Errors
///
/// [`Failure::Bad`] if the body is neither `{"kill":0}` nor `{"kill":1}`.
pub fn killed(body: &[u8]) -> Result<bool, Failure> {
    let wrong = || shape("not {\"kill\":0} or {\"kill\":1}");
    match members(body).ok_or_else(wrong)?.as_slice() {
        [(key, count)] if key == "kill" => match count.get() {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

fn members(body: &[u8]) -> Option<Vec<Member<'_>>> {
    json::members(std::str::from_utf8(body).ok()?)
}

fn shape(wrong: &'static str) -> Failure {
    Failure::Bad(BadResponse::Shape(wrong))
}

/// `None` for `{}`, which rest-sessions sends if there is no such session.
fn session(body: &[u8]) -> Result<Option<Parts<'_>>, &'static str> {
    let fields = members(body).ok_or("not a JSON object without repeated keys")?;
    if fields.is_empty() {
        return Ok(None);
    }
    let [mut id, mut ip] = [const { None }; 2];
    let [mut ttl, mut idle, mut reads, mut writes] = [None; 4];
    let mut data = Vec::new();
    let mut no_resave = false;
    for (key, value) in fields {
        match key.as_ref() {
            "id" => id = Some(text(value).filter(|id| !id.is_empty()).ok_or("`id` is not a non-empty string")?),
            "ip" => ip = Some(text(value).ok_or("`ip` is not a string")?),
            "ttl" => ttl = Some(number(value).ok_or("`ttl` is not a number")?),
            "idle" => idle = Some(number(value).ok_or("`idle` is not a number")?),
            "r" => reads = Some(number(value).ok_or("`r` is not a number")?),
            "w" => writes = Some(number(value).ok_or("`w` is not a number")?),
            "no_resave" => no_resave = boolean(value).ok_or("`no_resave` is neither true nor false")?,
            "d" => data = scalars(value)?,
            _ => {}
        }
    }
    let id = id.ok_or("`id` is missing")?;
    let ttl = ttl.ok_or("`ttl` is missing")?;
    Ok(Some(Parts { id, ip, ttl, idle, reads, writes, no_resave, data }))
}

/// Parses the data of a session: an object of scalars.
///
/// # Errors
///
/// The reason, as text for logs.
pub fn scalars(value: &RawValue) -> Result<Vec<(Cow<'_, str>, Scalar<'_>)>, &'static str> {
    let fields = json::members(value.get()).ok_or("`d` is not an object without repeated keys")?;
    fields.into_iter().map(|(key, value)| Ok((key, scalar(value)?))).collect()
}

/// Parses a string, a number or a boolean.
///
/// # Errors
///
/// The reason, as text for logs.
pub fn scalar(value: &RawValue) -> Result<Scalar<'_>, &'static str> {
    (text(value).map(Scalar::Text))
        .or_else(|| number(value).map(Scalar::Number))
        .or_else(|| boolean(value).map(Scalar::Bool))
        .ok_or("a value in `d` is neither a string nor a number nor true or false")
}

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    json::text(value.get())
}

fn number(value: &RawValue) -> Option<&str> {
    // The text is valid JSON, and only a number starts with a digit or `-`.
    let starts_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    value.get().as_bytes().first().filter(|byte| starts_number(byte)).map(|_| value.get())
}

fn boolean(value: &RawValue) -> Option<bool> {
    match value.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn parsed(body: &str) -> Lookup {
        lookup(body.as_bytes())
    }

    fn bad_shape(body: &str) -> &'static str {
        match parsed(body) {
            Lookup::Failed(Failure::Bad(BadResponse::Shape(wrong))) => wrong,
            other => panic!("{body} was parsed as {other:?}"),
        }
    }

    #[test]
    fn a_session_keeps_the_digits_of_its_numbers() {
        let lookup = parsed(
            r#"{"id":"user123","r":1,"w":1,"ttl":86400,"idle":273,"ip":"192.168.99.22",
            "d":{"name":"Peter Smith","n":1.10,"big":123456789012345678901234567890,"t":true},"later":{"a":[]}}"#,
        );
        assert_eq!(
            lookup,
            Lookup::Active(
                Parts {
                    id: "user123".into(),
                    ip: Some("192.168.99.22".into()),
                    ttl: "86400",
                    idle: Some("273"),
                    reads: Some("1"),
                    writes: Some("1"),
                    no_resave: false,
                    data: vec![
                        ("name".into(), Scalar::Text("Peter Smith".into())),
                        ("n".into(), Scalar::Number("1.10")),
                        ("big".into(), Scalar::Number("123456789012345678901234567890")),
                        ("t".into(), Scalar::Bool(true)),
                    ],
                }
                .into()
            )
        );
    }

    #[test]
    fn an_empty_object_means_that_there_is_no_session() {
        assert_eq!(parsed("{}"), Lookup::None);
        assert_eq!(parsed(" { } "), Lookup::None);
    }

    #[test]
    fn a_body_that_is_not_a_valid_session_is_a_bad_response() {
        for (body, why) in [
            ("", "not a JSON object without repeated keys"),
            ("null", "not a JSON object without repeated keys"),
            ("[]", "not a JSON object without repeated keys"),
            ("{}{}", "not a JSON object without repeated keys"),
            (r#"{"id":"u","ttl":1"#, "not a JSON object without repeated keys"),
            (r#"{"id":"u","ttl":1,"id":"v"}"#, "not a JSON object without repeated keys"),
            (r#"{"id":"u","ttl":1,"\u0069d":"v"}"#, "not a JSON object without repeated keys"),
            (r#"{"ttl":1}"#, "`id` is missing"),
            (r#"{"id":"u"}"#, "`ttl` is missing"),
            (r#"{"id":"","ttl":1}"#, "`id` is not a non-empty string"),
            (r#"{"id":7,"ttl":1}"#, "`id` is not a non-empty string"),
            (r#"{"id":null,"ttl":1}"#, "`id` is not a non-empty string"),
            (r#"{"id":"u","ttl":"1"}"#, "`ttl` is not a number"),
            (r#"{"id":"u","ttl":null}"#, "`ttl` is not a number"),
            (r#"{"id":"u","ttl":1,"ip":4}"#, "`ip` is not a string"),
            (r#"{"id":"u","ttl":1,"idle":"4"}"#, "`idle` is not a number"),
            (r#"{"id":"u","ttl":1,"r":true}"#, "`r` is not a number"),
            (r#"{"id":"u","ttl":1,"w":{}}"#, "`w` is not a number"),
            (r#"{"id":"u","ttl":1,"no_resave":1}"#, "`no_resave` is neither true nor false"),
            (r#"{"id":"u","ttl":1,"d":[]}"#, "`d` is not an object without repeated keys"),
            (r#"{"id":"u","ttl":1,"d":null}"#, "`d` is not an object without repeated keys"),
            (r#"{"id":"u","ttl":1,"d":{"a":1,"a":2}}"#, "`d` is not an object without repeated keys"),
            (r#"{"id":"u","ttl":1,"d":{"a":{}}}"#, "a value in `d` is neither a string nor a number nor true or false"),
            (
                r#"{"id":"u","ttl":1,"d":{"a":null}}"#,
                "a value in `d` is neither a string nor a number nor true or false",
            ),
        ] {
            assert_eq!(bad_shape(body), why, "{body}");
        }
    }

    #[test]
    fn a_session_slides_unless_no_resave_is_true() {
        for (member, slides) in [("", true), (r#","no_resave":false"#, true), (r#","no_resave":true"#, false)] {
            let lookup = parsed(&format!(r#"{{"id":"u","ttl":1{member}}}"#));
            assert!(matches!(lookup, Lookup::Active(session) if session.slides() == slides), "{member}");
        }
    }

    #[test]
    fn escaped_strings_are_decoded() {
        let body = r#"{"id":"\u0075\n","ttl":1,"d":{"\u0061":"\ud83d\ude00\/","q\\":"\\\\\"","x":"é"}}"#;
        let Lookup::Active(session) = parsed(body) else { panic!("{body} is a session") };
        assert_eq!(session.id(), "u\n");
        for (key, value) in [("a", "\u{1F600}/"), ("q\\", "\\\\\""), ("x", "é")] {
            assert_eq!(session.data(key), Some(Scalar::Text(value.into())), "{key}");
        }
        assert_eq!(session.data_json(), r#"{"a":"\ud83d\ude00/","q\\":"\\\\\"","x":"\u00e9"}"#);
    }

    #[test]
    fn a_string_with_a_lone_surrogate_is_invalid() {
        for (body, why) in [
            (r#"{"id":"\ud83d","ttl":1}"#, "`id` is not a non-empty string"),
            (
                r#"{"id":"u","ttl":1,"d":{"a":"\ude00"}}"#,
                "a value in `d` is neither a string nor a number nor true or false",
            ),
            (r#"{"id":"u","ttl":1,"d":{"\ud83d":1}}"#, "`d` is not an object without repeated keys"),
            (r#"{"id":"u","ttl":1,"d":{"\u0061":1,"a":2}}"#, "`d` is not an object without repeated keys"),
        ] {
            assert_eq!(bad_shape(body), why, "{body}");
        }
    }

    #[test]
    fn a_body_that_is_not_utf_8_is_a_bad_response() {
        let lookup = lookup(b"{\"id\":\"\xff\",\"ttl\":1}");
        assert!(matches!(lookup, Lookup::Failed(Failure::Bad(BadResponse::Shape(_)))), "{lookup:?}");
    }

    #[test]
    fn the_response_to_a_kill_says_whether_the_session_existed() {
        assert_eq!(killed(br#"{"kill":1}"#), Ok(true));
        assert_eq!(killed(br#" { "kill" : 0 } "#), Ok(false));
        for wrong in ["", "{}", "1", r#"{"kill":"1"}"#, r#"{"kill":2}"#, r#"{"kill":1,"x":1}"#, r#"{"kill":1.0}"#] {
            assert!(matches!(killed(wrong.as_bytes()), Err(Failure::Bad(BadResponse::Shape(_)))), "{wrong}");
        }
    }

    /// A string, escaped or not, a number or a boolean, as JSON.
    fn scalar_json() -> impl Strategy<Value = String> {
        let escaped = |text: String| {
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            format!("\"{units}\"")
        };
        prop_oneof![
            ".*".prop_map(|text| json!(text).to_string()),
            ".{0,4}".prop_map(escaped),
            "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,4})?(e[+-]?[0-9])?",
            any::<bool>().prop_map(|flag| flag.to_string()),
        ]
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic(body in any::<Vec<u8>>()) {
            let _ = (lookup(&body), killed(&body));
        }

        #[test]
        fn data_equals_what_serde_json_parses(
            data in proptest::collection::btree_map("[a\"\\\\é]{0,3}|.*", scalar_json(), 0..6)
        ) {
            let members: Vec<_> = data.iter().map(|(key, json)| format!("{} : {json}", json!(key))).collect();
            let body = format!(r#"{{"id":"u","ttl":1,"d":{{ {} }}}}"#, members.join(" , "));
            let Lookup::Active(session) = parsed(&body) else { panic!("{body} is a session") };
            let expected: Value = serde_json::from_str(&body).unwrap();
            let kept: Value = serde_json::from_str(session.data_json()).unwrap();
            prop_assert_eq!(&kept, &expected["d"]);
            for (key, json) in &data {
                match session.data(key) {
                    Some(Scalar::Text(text)) => prop_assert_eq!(Value::from(&*text), expected["d"][key].clone()),
                    Some(Scalar::Number(number)) => prop_assert_eq!(number, json),
                    Some(Scalar::Bool(flag)) => prop_assert_eq!(Value::from(flag), expected["d"][key].clone()),
                    None => prop_assert!(false, "{} is lost", key),
                }
            }
        }

        #[test]
        fn a_truncated_session_is_a_bad_response(cut in 1usize..60) {
            let whole = r#"{"id":"user123","r":1,"w":1,"ttl":86400,"idle":273,"d":{"a":1}}"#;
            prop_assert!(matches!(parsed(&whole[..cut]), Lookup::Failed(Failure::Bad(_))));
        }
    }
}

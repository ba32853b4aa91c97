//! Reads what rest-sessions answered to a lookup. Whatever is not exactly a session, or exactly none, is a bad answer.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::lookup::{BadAnswer, Lookup, Outage};
use super::session::{Parts, Scalar};

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
    /// Longer than [`super::lookup::MAX_BODY`], and therefore not read.
    TooLarge,
}

impl Answer {
    /// The body, where there is one to be read.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Complete { body: Body::Read(body), .. } => body,
            Self::Complete { body: Body::TooLarge, .. } | Self::Broken { .. } => &[],
        }
    }
}

#[must_use]
pub fn read(answer: &Answer) -> Lookup {
    match answer {
        Answer::Broken { late: true } => Lookup::Outage(Outage::Timeout),
        Answer::Broken { late: false } => Lookup::Outage(Outage::Connect),
        Answer::Complete { status: 504, from_service: false, .. } => Lookup::Outage(Outage::Timeout),
        Answer::Complete { status: 503, from_service: false, .. } => Lookup::Outage(Outage::Connect),
        Answer::Complete { status: status @ (429 | 500..), .. } => Lookup::Outage(Outage::Status(*status)),
        Answer::Complete { status: 200, body: Body::Read(body), .. } => of_body(body),
        Answer::Complete { status: 200, body: Body::TooLarge, .. } => Lookup::Bad(BadAnswer::TooLarge),
        Answer::Complete { status, .. } => Lookup::Bad(BadAnswer::Status(*status)),
    }
}

/// Reads the body of an answer with status 200.
#[must_use]
pub fn of_body(body: &[u8]) -> Lookup {
    match session(body) {
        Ok(Some(parts)) => Lookup::Active(parts.into()),
        Ok(None) => Lookup::None,
        Err(wrong) => Lookup::Bad(BadAnswer::Shape(wrong)),
    }
}

/// `None` for `{}`, the word for "there is no such session".
fn session(body: &[u8]) -> Result<Option<Parts<'_>>, &'static str> {
    let fields: Object<'_> = serde_json::from_slice(body).map_err(|_| "not a JSON object without repeated keys")?;
    if fields.0.is_empty() {
        return Ok(None);
    }
    let [mut id, mut ip] = [const { None }; 2];
    let [mut ttl, mut idle, mut reads, mut writes] = [None; 4];
    let mut data = Vec::new();
    let mut no_resave = false;
    for (key, value) in fields.0 {
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

fn scalars(value: &RawValue) -> Result<Vec<(Cow<'_, str>, Scalar<'_>)>, &'static str> {
    let fields: Object<'_> =
        serde_json::from_str(value.get()).map_err(|_| "`d` is not an object without repeated keys")?;
    fields.0.into_iter().map(|(key, value)| Ok((key, scalar(value)?))).collect()
}

fn scalar(value: &RawValue) -> Result<Scalar<'_>, &'static str> {
    (text(value).map(Scalar::Text))
        .or_else(|| number(value).map(Scalar::Number))
        .or_else(|| boolean(value).map(Scalar::Bool))
        .ok_or("a value in `d` is neither a string nor a number nor true or false")
}

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str(value.get()).ok().map(|Text(text)| text)
}

fn number(value: &RawValue) -> Option<&str> {
    // The text is JSON already, and only a number starts like this.
    let starts = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    value.get().as_bytes().first().filter(|byte| starts(byte)).map(|_| value.get())
}

fn boolean(value: &RawValue) -> Option<bool> {
    serde_json::from_str(value.get()).ok()
}

/// An object whose values are not read yet, and whose keys differ.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some(Text(key)) = map.next_key()? {
                    fields.push((key, map.next_value()?));
                }
                let mut keys: Vec<&str> = fields.iter().map(|(key, _)| key.as_ref()).collect();
                keys.sort_unstable();
                if keys.windows(2).any(|pair| pair.first() == pair.last()) {
                    return Err(A::Error::custom("a repeated key"));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// A string, borrowed from the answer where no escape stands in it.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn ok(body: &str) -> Lookup {
        read(&Answer::Complete { status: 200, from_service: true, body: Body::Read(body.as_bytes().to_vec()) })
    }

    fn wrong(body: &str) -> &'static str {
        match ok(body) {
            Lookup::Bad(BadAnswer::Shape(wrong)) => wrong,
            other => panic!("{body} was read as {other:?}"),
        }
    }

    fn status(status: u16, from_service: bool) -> Lookup {
        read(&Answer::Complete { status, from_service, body: Body::Read(b"{}".to_vec()) })
    }

    #[test]
    fn a_session_is_read_with_its_numbers_as_they_were_sent() {
        let lookup = ok(r#"{"id":"user123","r":1,"w":1,"ttl":86400,"idle":273,"ip":"192.168.99.22",
            "d":{"name":"Peter Smith","n":1.10,"big":123456789012345678901234567890,"t":true},"later":{"a":[]}}"#);
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
    fn an_empty_object_is_no_session() {
        assert_eq!(ok("{}"), Lookup::None);
        assert_eq!(ok(" { } "), Lookup::None);
    }

    #[test]
    fn whatever_is_not_exactly_a_session_is_a_bad_answer() {
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
            assert_eq!(wrong(body), why, "{body}");
        }
    }

    #[test]
    fn only_no_resave_keeps_a_session_from_sliding() {
        for (member, slides) in [("", true), (r#","no_resave":false"#, true), (r#","no_resave":true"#, false)] {
            let lookup = ok(&format!(r#"{{"id":"u","ttl":1{member}}}"#));
            assert!(matches!(lookup, Lookup::Active(session) if session.slides() == slides), "{member}");
        }
    }

    #[test]
    fn strings_are_told_as_they_were_meant_however_they_were_escaped() {
        let body = r#"{"id":"\u0075\n","ttl":1,"d":{"\u0061":"\ud83d\ude00\/","q\\":"\\\\\"","x":"é"}}"#;
        let Lookup::Active(session) = ok(body) else { panic!("{body} is a session") };
        assert_eq!(session.id(), "u\n");
        for (key, value) in [("a", "\u{1F600}/"), ("q\\", "\\\\\""), ("x", "é")] {
            assert_eq!(session.data(key), Some(Scalar::Text(value.into())), "{key}");
        }
        assert_eq!(session.data_json(), r#"{"a":"\ud83d\ude00/","q\\":"\\\\\"","x":"\u00e9"}"#);
    }

    #[test]
    fn half_a_surrogate_is_no_string() {
        for (body, why) in [
            (r#"{"id":"\ud83d","ttl":1}"#, "`id` is not a non-empty string"),
            (
                r#"{"id":"u","ttl":1,"d":{"a":"\ude00"}}"#,
                "a value in `d` is neither a string nor a number nor true or false",
            ),
            (r#"{"id":"u","ttl":1,"d":{"\ud83d":1}}"#, "`d` is not an object without repeated keys"),
            (r#"{"id":"u","ttl":1,"d":{"\u0061":1,"a":2}}"#, "`d` is not an object without repeated keys"),
        ] {
            assert_eq!(wrong(body), why, "{body}");
        }
    }

    #[test]
    fn an_answer_that_is_not_utf_8_is_a_bad_one() {
        let body = Body::Read(b"{\"id\":\"\xff\",\"ttl\":1}".to_vec());
        let lookup = read(&Answer::Complete { status: 200, from_service: true, body });
        assert!(matches!(lookup, Lookup::Bad(BadAnswer::Shape(_))), "{lookup:?}");
    }

    #[test]
    fn an_answer_that_is_too_large_is_a_bad_one() {
        let lookup = read(&Answer::Complete { status: 200, from_service: true, body: Body::TooLarge });
        assert_eq!(lookup, Lookup::Bad(BadAnswer::TooLarge));
    }

    #[test]
    fn broken_overloaded_and_failing_services_are_outages() {
        assert_eq!(read(&Answer::Broken { late: false }), Lookup::Outage(Outage::Connect));
        assert_eq!(read(&Answer::Broken { late: true }), Lookup::Outage(Outage::Timeout));
        assert_eq!(status(504, false), Lookup::Outage(Outage::Timeout));
        assert_eq!(status(503, false), Lookup::Outage(Outage::Connect));
        for code in [429, 500, 502, 503, 504, 599] {
            assert_eq!(status(code, true), Lookup::Outage(Outage::Status(code)));
        }
    }

    #[test]
    fn any_other_status_is_a_bad_answer_and_never_no_session() {
        for code in [0, 100, 201, 204, 301, 400, 401, 403, 404, 413] {
            assert_eq!(status(code, true), Lookup::Bad(BadAnswer::Status(code)));
        }
    }

    /// A string in one of the ways to write it, a number, or a truth value.
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
        fn any_body_is_read_without_a_panic(body in any::<Vec<u8>>()) {
            let _ = read(&Answer::Complete { status: 200, from_service: true, body: Body::Read(body) });
        }

        #[test]
        fn data_is_what_any_other_reader_of_the_answer_reads(
            data in proptest::collection::btree_map("[a\"\\\\é]{0,3}|.*", scalar_json(), 0..6)
        ) {
            let members: Vec<_> = data.iter().map(|(key, json)| format!("{} : {json}", json!(key))).collect();
            let body = format!(r#"{{"id":"u","ttl":1,"d":{{ {} }}}}"#, members.join(" , "));
            let Lookup::Active(session) = ok(&body) else { panic!("{body} is a session") };
            let meant: Value = serde_json::from_str(&body).unwrap();
            let kept: Value = serde_json::from_str(session.data_json()).unwrap();
            prop_assert_eq!(&kept, &meant["d"]);
            for (key, json) in &data {
                match session.data(key) {
                    Some(Scalar::Text(text)) => prop_assert_eq!(Value::from(&*text), meant["d"][key].clone()),
                    Some(Scalar::Number(number)) => prop_assert_eq!(number, json),
                    Some(Scalar::Bool(flag)) => prop_assert_eq!(Value::from(flag), meant["d"][key].clone()),
                    None => prop_assert!(false, "{} is lost", key),
                }
            }
        }

        #[test]
        fn a_session_cut_short_is_never_no_session(cut in 1usize..60) {
            let whole = r#"{"id":"user123","r":1,"w":1,"ttl":86400,"idle":273,"d":{"a":1}}"#;
            prop_assert!(matches!(ok(&whole[..cut]), Lookup::Bad(_)));
        }
    }
}

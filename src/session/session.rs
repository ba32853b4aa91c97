//! A live session, laid out to be kept by the hundred thousand and to be passed on without being encoded again.

use std::fmt::Write;
use std::ops::Range;
use std::rc::Rc;

/// A session as rest-sessions tells it, before it is laid out. Numbers keep the text that was sent, so that none drifts
/// on its way.
#[derive(Debug, Default)]
pub struct Parts {
    pub id: String,
    pub ip: Option<String>,
    pub ttl: String,
    pub idle: Option<String>,
    pub reads: Option<String>,
    pub writes: Option<String>,
    /// It ends when its time is up, however often it is used.
    pub no_resave: bool,
    /// What services keep in the session, in the order in which it came.
    pub data: Vec<(String, Scalar)>,
}

/// A value in a session's data.
#[derive(Debug, PartialEq, Eq)]
pub enum Scalar {
    Text(String),
    Number(String),
    Bool(bool),
}

/// All text in one block, and where in it each part stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Session {
    text: Box<str>,
    id: Span,
    ip: Option<Span>,
    ttl: Span,
    idle: Option<Span>,
    reads: Option<Span>,
    writes: Option<Span>,
    /// The data as compact JSON in printable ASCII.
    json: Span,
    /// The keys and values in it, quotes included.
    data: Box<[(Span, Span)]>,
    slides: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

/// What an allocation takes beside its bytes, and the counts of an [`Rc`].
const BLOCK_BYTES: usize = 8;
const RC_BYTES: usize = 2 * size_of::<usize>();

impl From<Parts> for Rc<Session> {
    fn from(parts: Parts) -> Self {
        let mut text = String::new();
        let mut add = |part: &str| span(&mut text, |text| text.push_str(part));
        let id = add(&parts.id);
        let ttl = add(&parts.ttl);
        let [ip, idle, reads, writes] =
            [&parts.ip, &parts.idle, &parts.reads, &parts.writes].map(|part| part.as_deref().map(&mut add));
        let mut data = Vec::with_capacity(parts.data.len());
        let json = span(&mut text, |text| {
            text.push('{');
            for (key, value) in &parts.data {
                if !data.is_empty() {
                    text.push(',');
                }
                let key = span(text, |text| push_string(text, key));
                text.push(':');
                let value = span(text, |text| match value {
                    Scalar::Text(value) => push_string(text, value),
                    Scalar::Number(number) => text.push_str(number),
                    Scalar::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
                });
                data.push((key, value));
            }
            text.push('}');
        });
        Rc::new(Session {
            text: text.into(),
            id,
            ip,
            ttl,
            idle,
            reads,
            writes,
            json,
            data: data.into(),
            slides: !parts.no_resave,
        })
    }
}

/// Where what is written stands.
fn span(text: &mut String, write: impl FnOnce(&mut String)) -> Span {
    // An answer has 256 KiB at most, and no byte becomes more than six.
    let at = |text: &String| u32::try_from(text.len()).unwrap_or(u32::MAX);
    let start = at(text);
    write(text);
    Span { start, end: at(text) }
}

impl Session {
    fn part(&self, span: Span) -> &str {
        self.text.get(Range { start: span.start as usize, end: span.end as usize }).unwrap_or_default()
    }

    #[must_use]
    pub fn id(&self) -> &str {
        self.part(self.id)
    }

    #[must_use]
    pub fn ip(&self) -> Option<&str> {
        self.ip.map(|span| self.part(span))
    }

    #[must_use]
    pub fn ttl(&self) -> &str {
        self.part(self.ttl)
    }

    #[must_use]
    pub fn idle(&self) -> Option<&str> {
        self.idle.map(|span| self.part(span))
    }

    #[must_use]
    pub fn reads(&self) -> Option<&str> {
        self.reads.map(|span| self.part(span))
    }

    #[must_use]
    pub fn writes(&self) -> Option<&str> {
        self.writes.map(|span| self.part(span))
    }

    /// All data, as compact JSON in printable ASCII.
    #[must_use]
    pub fn data_json(&self) -> &str {
        self.part(self.json)
    }

    /// One value of the data.
    #[must_use]
    pub fn data(&self, key: &str) -> Option<Scalar> {
        let mut wanted = String::new();
        push_string(&mut wanted, key);
        let (_, value) = self.data.iter().find(|(key, _)| self.part(*key) == wanted)?;
        let value = self.part(*value);
        Some(match value {
            "true" => Scalar::Bool(true),
            "false" => Scalar::Bool(false),
            value if value.starts_with('"') => Scalar::Text(serde_json::from_str(value).ok()?),
            number => Scalar::Number(number.to_owned()),
        })
    }

    /// Whether its time starts anew with each use.
    #[must_use]
    pub fn slides(&self) -> bool {
        self.slides
    }

    /// How long it lives from now on if nobody uses it.
    #[must_use]
    pub fn ttl_ms(&self) -> u64 {
        let seconds: f64 = serde_json::from_str(self.ttl()).unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, at zero too")]
        let millis = (seconds * 1_000.0) as u64;
        millis
    }

    /// What it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let data = size_of_val::<[_]>(&self.data);
        let heap = [size_of::<Self>(), RC_BYTES, self.text.len(), data];
        heap.into_iter().fold(3 * BLOCK_BYTES, usize::saturating_add)
    }
}

fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            ' '..='~' => json.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn session(ttl: &str, data: Vec<(String, Scalar)>) -> Rc<Session> {
        Parts { id: "Zoë".into(), ip: Some("::1".into()), ttl: ttl.into(), data, ..Parts::default() }.into()
    }

    #[test]
    fn a_session_gives_back_what_it_was_told() {
        let session =
            session("7200", vec![("a\u{e9}".into(), Scalar::Bool(true)), ("n".into(), Scalar::Number("1.10".into()))]);
        assert_eq!((session.id(), session.ip(), session.ttl(), session.idle()), ("Zoë", Some("::1"), "7200", None));
        assert_eq!(session.data_json(), r#"{"a\u00e9":true,"n":1.10}"#);
        assert_eq!(session.data("aé"), Some(Scalar::Bool(true)));
        assert_eq!(session.data("n"), Some(Scalar::Number("1.10".into())));
        assert_eq!(session.data("b"), None);
    }

    #[test]
    fn a_session_without_data_has_an_empty_object() {
        assert_eq!(session("1", Vec::new()).data_json(), "{}");
    }

    #[test]
    fn its_time_is_read_from_any_number() {
        for (ttl, millis) in
            [("7200", 7_200_000), ("1.5", 1_500), ("1e3", 1_000_000), ("0", 0), ("-3", 0), ("1e300", u64::MAX)]
        {
            assert_eq!(session(ttl, Vec::new()).ttl_ms(), millis, "{ttl}");
        }
    }

    #[test]
    fn two_hundred_bytes_of_session_take_little_more_than_twice_that() {
        let data = (0..7).map(|n| (format!("key{n}"), Scalar::Text("0123456789".into()))).collect();
        let session = session("7200", data);
        assert!(session.text.len() > 150, "{}", session.text.len());
        assert!(session.bytes() < 430, "{}", session.bytes());
    }

    proptest! {
        #[test]
        fn data_reads_back_as_what_it_was(data in proptest::collection::btree_map(".*", ".*", 0..4)) {
            let scalars = data.iter().map(|(k, v)| (k.clone(), Scalar::Text(v.clone()))).collect();
            let session = session("1", scalars);
            let json = session.data_json();
            prop_assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", json);
            let read: serde_json::Value = serde_json::from_str(json).unwrap();
            for (key, value) in &data {
                prop_assert_eq!(read.get(key).unwrap().as_str(), Some(value.as_str()));
                prop_assert_eq!(session.data(key), Some(Scalar::Text(value.clone())));
            }
        }
    }
}

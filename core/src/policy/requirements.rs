//! Requirements: conditions on a session's fields, combined with AND.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::policy::annotation::Field;
use crate::session::data::Scalar;
use crate::session::json;
use crate::session::session::Session;
use crate::session::token::Token;

/// A constant that a field is compared with. Equality includes the JSON type; numbers are compared by value.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A string.
    Text(String),
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// A condition on a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The field equals one of these. `age` is compared in whole seconds, as it is annotated.
    OneOf(Vec<Constant>),
    /// The session has the field, or lacks it.
    Present(bool),
    /// The field is a number of at most this.
    AtMost(f64),
    /// The field is a number of at least this.
    AtLeast(f64),
    /// The field is a time in seconds since 1970, at most this many milliseconds ago.
    Within(u64),
    /// The field is the client's address.
    IsClient,
}

/// A field and its condition. An absent field fails every condition but `present: false`.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// The field.
    pub field: Field,
    /// Its condition.
    pub condition: Condition,
}

/// The facts that requirements are evaluated against. The time and the address are read only if needed.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The session.
    pub session: &'a Session,
    /// Its token.
    pub token: &'a Token,
    /// The time, in milliseconds since 1970.
    pub now_ms: &'a dyn Fn() -> u64,
    /// The client's address with a port, as Envoy determines it (`source.address`). `None`: Envoy does not say.
    pub client: &'a dyn Fn() -> Option<Vec<u8>>,
}

/// The tolerated clock skew for [`Condition::Within`], in seconds. A time further in the future fails: it is not in
/// seconds, or wrong.
const MAX_AHEAD_S: f64 = 60.0;

const MILLIS_PER_SECOND: f64 = 1_000.0;

/// The value of a field.
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    /// Seconds, to the millisecond.
    Age(f64),
    Bool(bool),
    /// All of its data.
    Data,
}

impl Requirement {
    /// Whether the condition holds.
    #[must_use]
    pub fn holds(&self, facts: Facts<'_>) -> bool {
        let value = facts.value(&self.field);
        match (&self.condition, value) {
            (Condition::Present(wanted), value) => value.is_some() == *wanted,
            (_, None) => false,
            (Condition::OneOf(constants), Some(value)) => constants.iter().any(|constant| value.equals(constant)),
            (Condition::AtMost(most), Some(Value::Number(number) | Value::Age(number))) => number <= *most,
            (Condition::AtLeast(least), Some(Value::Number(number) | Value::Age(number))) => number >= *least,
            (Condition::Within(ms), Some(Value::Number(seconds))) => {
                let ago = to_f64((facts.now_ms)()) / MILLIS_PER_SECOND - seconds;
                (-MAX_AHEAD_S..=to_f64(*ms) / MILLIS_PER_SECOND).contains(&ago)
            }
            (Condition::IsClient, Some(Value::Text(address))) => {
                let client = (facts.client)().and_then(|client| client_address(&client));
                client.is_some() && address.parse().ok().map(unmapped) == client
            }
            (Condition::AtMost(_) | Condition::AtLeast(_) | Condition::Within(_) | Condition::IsClient, _) => false,
        }
    }
}

impl Requirement {
    /// The field's value for a message. `None` if the session lacks it.
    #[must_use]
    pub fn found(&self, facts: Facts<'_>) -> Option<String> {
        facts.value(&self.field).map(|value| match value {
            Value::Text(text) => format!("{text:?}"),
            Value::Number(number) | Value::Age(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Data => facts.session.data_json().to_owned(),
        })
    }
}

/// The address of `192.0.2.1:8080` or `[::1]:8080`.
fn client_address(peer: &[u8]) -> Option<IpAddr> {
    let peer: SocketAddr = std::str::from_utf8(peer).ok()?.parse().ok()?;
    Some(unmapped(peer.ip()))
}

/// Turns an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) into the IPv4 address.
fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[expect(clippy::cast_precision_loss, reason = "times and durations are far below 2^53")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

impl<'a> Facts<'a> {
    fn value(&self, field: &Field) -> Option<Value<'a>> {
        let session = self.session;
        Some(match field {
            Field::Id => Value::Text(session.id().into()),
            Field::Ip => Value::Text(session.ip()?.into()),
            Field::Ttl => Value::number(session.ttl())?,
            Field::Idle => Value::number(session.idle()?)?,
            Field::Reads => Value::number(session.reads()?)?,
            Field::Writes => Value::number(session.writes()?)?,
            // As with `within`: the clocks differ too much to say how old the token is.
            Field::Age if self.token.ahead_ms((self.now_ms)()).is_some() => return None,
            Field::Age => Value::Age(to_f64(self.token.age_ms((self.now_ms)())?) / MILLIS_PER_SECOND),
            Field::Data if session.data_json() == "{}" => return None,
            Field::Data => Value::Data,
            Field::DataKey(key) => match session.data(key)? {
                Scalar::Text(text) => Value::Text(text),
                Scalar::Number(number) => Value::number(number)?,
                Scalar::Bool(flag) => Value::Bool(flag),
            },
            // Requirements are evaluated for active sessions only.
            Field::Status => Value::Text("active".into()),
        })
    }
}

impl Value<'_> {
    fn number(text: &str) -> Option<Self> {
        json::number(text).map(Self::Number)
    }

    fn equals(&self, constant: &Constant) -> bool {
        match (self, constant) {
            (Self::Text(own), Constant::Text(other)) => own == other,
            #[expect(clippy::float_cmp, reason = "numbers are equal by value")]
            (Self::Number(own), Constant::Number(other)) => own == other,
            #[expect(clippy::float_cmp, reason = "whole seconds are exact")]
            (Self::Age(own), Constant::Number(other)) => own.floor() == *other,
            (Self::Bool(own), Constant::Bool(other)) => own == other,
            _ => false,
        }
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(flag) => write!(f, "{flag}"),
        }
    }
}

impl fmt::Display for Requirement {
    /// The configuration's form of the requirement, without braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.field)?;
        match &self.condition {
            Condition::OneOf(constants) => {
                let [first, rest @ ..] = constants.as_slice() else { return f.write_str("one_of []") };
                write!(f, "one_of [{first}")?;
                rest.iter().try_for_each(|constant| write!(f, ", {constant}"))?;
                f.write_str("]")
            }
            Condition::Present(wanted) => write!(f, "present {wanted}"),
            Condition::AtMost(most) => write!(f, "at_most {most}"),
            Condition::AtLeast(least) => write!(f, "at_least {least}"),
            Condition::Within(ms) => write!(f, "within {}s", to_f64(*ms) / 1_000.0),
            Condition::IsClient => f.write_str("is_client"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::session::session::Parts;
    use crate::session::token::tests::{NOW_MS, token_made_at};

    fn session() -> Rc<Session> {
        let parts = Parts {
            id: "user123".into(),
            ip: Some("192.0.2.1".into()),
            ttl: "7200",
            idle: Some("3"),
            reads: Some("7"),
            data: vec![
                ("role".into(), Scalar::Text("admin".into())),
                ("level".into(), Scalar::Number("1.0")),
                ("big".into(), Scalar::Number("9007199254740993")),
                ("beta".into(), Scalar::Bool(true)),
                ("auth_time".into(), Scalar::Number("1759999400")),
                ("a.b".into(), Scalar::Text("dotted".into())),
                ("empty".into(), Scalar::Text("".into())),
                ("one".into(), Scalar::Text("1".into())),
            ],
            ..Parts::default()
        };
        parts.into()
    }

    fn holds_at(now_ms: u64, client: &str, field: &str, condition: Condition) -> bool {
        let token = Token::parse(token_made_at(NOW_MS - 42_500).as_bytes(), &|| NOW_MS).unwrap();
        let requirement = Requirement { field: Field::parse(field).unwrap(), condition };
        requirement.holds(Facts {
            session: &session(),
            token: &token,
            now_ms: &|| now_ms,
            client: &|| Some(client.as_bytes().to_vec()),
        })
    }

    fn holds(field: &str, condition: Condition) -> bool {
        holds_at(NOW_MS, "192.0.2.1:4711", field, condition)
    }

    fn text(text: &str) -> Constant {
        Constant::Text(text.into())
    }

    #[test]
    fn equality_is_by_type_and_numbers_by_value() {
        for (field, constant, equal) in [
            ("id", text("user123"), true),
            ("id", text("USER123"), false),
            ("ip", text("192.0.2.1"), true),
            ("d.role", text("admin"), true),
            ("d.role", text("adm"), false),
            ("d.level", Constant::Number(1.0), true),
            ("d.level", text("1.0"), false),
            ("d.one", Constant::Number(1.0), false),
            ("d.one", text("1"), true),
            ("d.beta", Constant::Bool(true), true),
            ("d.beta", Constant::Bool(false), false),
            ("d.beta", text("true"), false),
            ("d.a.b", text("dotted"), true),
            ("d.none", text(""), false),
            ("d.empty", text(""), true),
            ("d", text("{}"), false),
            ("status", text("active"), true),
            ("ttl", Constant::Number(7200.0), true),
            ("age", Constant::Number(42.0), true),
        ] {
            assert_eq!(holds(field, Condition::OneOf(vec![constant.clone()])), equal, "{field} {constant}");
        }
        assert!(holds("d.role", Condition::OneOf(vec![text("owner"), text("admin")])));
        assert!(!holds("d.role", Condition::OneOf(vec![])));
    }

    #[test]
    fn an_absent_field_fails_every_condition_but_its_absence() {
        for condition in [
            Condition::OneOf(vec![text("")]),
            Condition::Present(true),
            Condition::AtMost(1e9),
            Condition::AtLeast(-1e9),
            Condition::Within(u64::MAX),
            Condition::IsClient,
        ] {
            assert!(!holds("d.none", condition.clone()), "{condition:?}");
        }
        assert!(holds("d.none", Condition::Present(false)));
        assert!(holds("d.empty", Condition::Present(true)));
        assert!(!holds("d.empty", Condition::Present(false)));
        assert!(holds("d", Condition::Present(true)));
    }

    #[test]
    fn data_is_present_if_it_has_a_key() {
        let empty: Rc<Session> = Parts { id: "a".into(), ttl: "1", ..Parts::default() }.into();
        let token = Token::parse(token_made_at(NOW_MS).as_bytes(), &|| NOW_MS).unwrap();
        let facts = Facts { session: &empty, token: &token, now_ms: &|| NOW_MS, client: &|| None };
        assert!(Requirement { field: Field::Data, condition: Condition::Present(false) }.holds(facts));
    }

    #[test]
    fn bounds_are_inclusive_and_fail_for_other_types() {
        assert!(holds("ttl", Condition::AtLeast(7200.0)));
        assert!(!holds("ttl", Condition::AtLeast(7200.5)));
        assert!(holds("d.level", Condition::AtMost(1.0)));
        assert!(!holds("d.one", Condition::AtMost(2.0)));
        assert!(!holds("d.beta", Condition::AtLeast(0.0)));
    }

    #[test]
    fn an_age_is_compared_in_milliseconds() {
        // The token is 42.5 s old.
        for (seconds, at_most, at_least) in
            [(42.0, false, true), (42.499, false, true), (42.5, true, true), (42.501, true, false), (43.0, true, false)]
        {
            assert_eq!(holds("age", Condition::AtMost(seconds)), at_most, "at_most {seconds}");
            assert_eq!(holds("age", Condition::AtLeast(seconds)), at_least, "at_least {seconds}");
        }
        let minutes = |age_ms| holds_at(NOW_MS - 42_500 + age_ms, "", "age", Condition::AtMost(600.0));
        assert!(minutes(600_000));
        assert!(!minutes(600_001));
    }

    #[test]
    fn a_time_with_milliseconds_is_within_a_duration_up_to_its_end() {
        for fraction in ["", ".001", ".1", ".123", ".5", ".999"] {
            let seconds = format!("1759999400{fraction}");
            let made_ms = 1_759_999_400_000 + format!("0{fraction}").parse::<f64>().map_or(0, |own| (own * 1e3) as u64);
            let session: Rc<Session> = Parts {
                id: "a".into(),
                ttl: "1",
                data: vec![("auth_time".into(), Scalar::Number(&seconds))],
                ..Parts::default()
            }
            .into();
            let token = Token::parse(token_made_at(NOW_MS).as_bytes(), &|| NOW_MS).unwrap();
            let requirement =
                Requirement { field: Field::DataKey("auth_time".into()), condition: Condition::Within(600_000) };
            let holds = |now_ms| {
                requirement.holds(Facts { session: &session, token: &token, now_ms: &|| now_ms, client: &|| None })
            };
            assert!(holds(made_ms + 600_000), "{seconds}");
            assert!(!holds(made_ms + 600_001), "{seconds}");
        }
    }

    #[test]
    fn a_time_is_within_a_duration_up_to_its_end() {
        // 600 s before now.
        let at = |now_ms, ms| holds_at(now_ms, "", "d.auth_time", Condition::Within(ms));
        assert!(at(NOW_MS, 600_000));
        assert!(!at(NOW_MS, 599_999));
        assert!(!at(NOW_MS + 1, 600_000));
        assert!(!holds("d.role", Condition::Within(u64::MAX)));
    }

    #[test]
    fn a_time_far_in_the_future_fails() {
        let ahead = |seconds: u64| holds_at((1_759_999_400 - seconds) * 1_000, "", "d.auth_time", Condition::Within(1));
        assert!(ahead(60));
        assert!(!ahead(61));
    }

    #[test]
    fn the_age_of_a_token_more_than_a_minute_in_the_future_fails_every_condition() {
        let holds = |made_at, condition| {
            let token = Token::parse(token_made_at(made_at).as_bytes(), &|| NOW_MS).unwrap();
            let facts = Facts { session: &session(), token: &token, now_ms: &|| NOW_MS, client: &|| None };
            Requirement { field: Field::Age, condition }.holds(facts)
        };
        assert!(holds(NOW_MS + 60_000, Condition::AtMost(0.0)));
        for condition in
            [Condition::AtMost(600.0), Condition::AtLeast(0.0), Condition::OneOf(vec![Constant::Number(0.0)])]
        {
            assert!(!holds(NOW_MS + 60_001, condition.clone()), "{condition:?}");
        }
    }

    #[test]
    fn all_spellings_of_the_clients_address_are_equal() {
        let is_client = |client: &str| holds_at(NOW_MS, client, "ip", Condition::IsClient);
        assert!(is_client("192.0.2.1:80"));
        assert!(is_client("[::ffff:192.0.2.1]:80"));
        assert!(is_client("[::ffff:c000:201]:80"));
        for other in ["192.0.2.2:80", "192.0.2.1", "[::192.0.2.1]:80", "", "/run/envoy.sock", "192.0.2.1:80:80"] {
            assert!(!is_client(other), "{other}");
        }
        assert!(!holds_at(NOW_MS, "", "d.role", Condition::IsClient));
    }

    #[test]
    fn the_value_of_a_field_can_be_shown() {
        let token = Token::parse(token_made_at(NOW_MS).as_bytes(), &|| NOW_MS).unwrap();
        let session = session();
        let facts = Facts { session: &session, token: &token, now_ms: &|| NOW_MS, client: &|| None };
        let found = |field: &str| {
            Requirement { field: Field::parse(field).unwrap(), condition: Condition::Present(true) }.found(facts)
        };
        for (field, value) in [
            ("id", Some("\"user123\"")),
            ("d.level", Some("1")),
            ("d.beta", Some("true")),
            ("age", Some("0")),
            ("d.none", None),
        ] {
            assert_eq!(found(field).as_deref(), value, "{field}");
        }
        assert!(found("d").unwrap().starts_with("{\"role\":\"admin\","));
    }

    #[test]
    fn a_requirement_is_shown_in_the_form_of_the_configuration() {
        let shown = |field: &str, condition| Requirement { field: Field::parse(field).unwrap(), condition }.to_string();
        let roles = Condition::OneOf(vec![text("admin"), Constant::Number(1.5), Constant::Bool(true)]);
        assert_eq!(shown("d.role", roles), r#"d.role one_of ["admin", 1.5, true]"#);
        assert_eq!(shown("d.auth_time", Condition::Within(600_000)), "d.auth_time within 600s");
        assert_eq!(shown("ip", Condition::IsClient), "ip is_client");
        assert_eq!(shown("age", Condition::AtMost(3600.0)), "age at_most 3600");
        assert_eq!(shown("d", Condition::Present(true)), "d present true");
    }
}

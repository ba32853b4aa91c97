//! The single values of a configuration: each type can hold only what is allowed.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};

use super::reader::Field;
use crate::http::authority::{Authority, HostPattern};
use crate::http::name;
use crate::http::origin::Origin;
use crate::policy::matching::PathPattern;
use crate::session::annotate;

/// A value that is written as a string of a certain form.
pub trait Written: Sized {
    const EXPECTED: &'static str;

    fn parse(text: &str) -> Option<Self>;
}

/// Reads a [`Written`] value.
#[derive(Debug)]
pub struct Text<T>(pub T);

impl<'de, T: Written> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);

        impl<T: Written> Visitor<'_> for TextVisitor<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                T::parse(text).map(Text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

/// An integer from `MIN` to `MAX`.
#[derive(Debug)]
pub struct Integer<const MIN: u64, const MAX: u64>(pub u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Integer<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(IntegerVisitor { min: MIN, max: MAX }).map(Self)
    }
}

/// One visitor for integers of all ranges: each would be compiled by itself otherwise.
struct IntegerVisitor {
    min: u64,
    max: u64,
}

impl Visitor<'_> for IntegerVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from {} to {}", self.min, self.max)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        if (self.min..=self.max).contains(&value) {
            Ok(value)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(value), &self))
        }
    }
}

/// A duration from `MIN` to `MAX` milliseconds, such as `"250ms"`.
#[derive(Debug)]
pub struct Millis<const MIN: u64, const MAX: u64>(pub u64);

/// What durations are measured against, in milliseconds. A month is what people mean by 30 days.
pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 3_600_000;
pub const MONTH: u64 = 2_592_000_000;

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Millis<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(MillisVisitor { min: MIN, max: MAX }).map(Self)
    }
}

/// One visitor for durations of all ranges, as for integers.
struct MillisVisitor {
    min: u64,
    max: u64,
}

impl Visitor<'_> for MillisVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (shown(self.min), shown(self.max));
        write!(f, "a duration from {min} to {max}, such as \"250ms\", \"5s\", \"10m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        duration(text)
            .filter(|millis| (self.min..=self.max).contains(millis))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// An object, or `"off"` for doing without.
#[derive(Debug)]
pub enum OrOff<T> {
    On(T),
    Off,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrOffVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OrOffVisitor<T> {
            type Value = OrOff<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or \"off\"")
            }

            fn visit_none<E>(self) -> Result<OrOff<T>, E> {
                Ok(OrOff::Off)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<OrOff<T>, D::Error> {
                T::deserialize(deserializer).map(OrOff::On)
            }
        }

        deserializer.deserialize_option(OrOffVisitor(PhantomData))
    }
}

/// The units of a duration, the longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", HOUR), ("m", MINUTE), ("s", 1_000), ("ms", 1)];

fn duration(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    count.parse::<u64>().ok()?.checked_mul(*millis)
}

/// A duration in the largest unit that divides it.
fn shown(millis: u64) -> String {
    let unit = UNITS.iter().find_map(|(name, unit)| {
        let count = millis.checked_div(*unit).filter(|count| *count > 0 && count.saturating_mul(*unit) == millis)?;
        Some(format!("{count}{name}"))
    });
    unit.unwrap_or_else(|| format!("{millis}ms"))
}

/// An object of any keys, in the order in which they stand.
#[derive(Debug)]
pub struct Entries<T>(pub Vec<(String, Field<T>)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

fn visible_ascii(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The rest-sessions app.
#[derive(Debug)]
pub struct App(pub String);

impl Written for App {
    const EXPECTED: &'static str = "3 to 20 letters, digits, `_` or `-`";

    fn parse(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ((3..=20).contains(&text.len()) && text.bytes().all(known)).then(|| Self(text.to_owned()))
    }
}

/// The name of a cluster of Envoy's.
#[derive(Debug)]
pub struct Cluster(pub String);

impl Written for Cluster {
    const EXPECTED: &'static str = "the name of a cluster, in visible ASCII";

    fn parse(text: &str) -> Option<Self> {
        visible_ascii(text).then(|| Self(text.to_owned()))
    }
}

/// The `:authority` of a call.
#[derive(Debug)]
pub struct CallAuthority(pub String);

impl Written for CallAuthority {
    const EXPECTED: &'static str = "a host with or without a port, such as \"rest-sessions:3000\"";

    fn parse(text: &str) -> Option<Self> {
        Authority::parse(text.as_bytes()).map(|_| Self(text.to_owned()))
    }
}

/// What stands before `/{app}/get/…` in the path of a call.
#[derive(Debug)]
pub struct PathPrefix(pub String);

impl Written for PathPrefix {
    const EXPECTED: &'static str =
        "an empty string, or a path that starts with `/`, does not end with one, and has neither `?` nor `#`";

    fn parse(text: &str) -> Option<Self> {
        let path = visible_ascii(text) && text.starts_with('/') && !text.ends_with('/') && !text.contains(['?', '#']);
        (text.is_empty() || path).then(|| Self(text.to_owned()))
    }
}

impl Written for HostPattern {
    const EXPECTED: &'static str = "a host without a port, such as \"shop.example.com\" or \"*.example.com\"";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Written for Origin {
    const EXPECTED: &'static str = "an origin, such as \"https://shop.example.com\", without a path";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text.as_bytes())
    }
}

impl Written for PathPattern {
    const EXPECTED: &'static str = "\"/exact\" or \"/prefix/*\" of letters, digits and -._~!$&'()*+,=:@/ \
        (without empty or dot segments, and `*` only as the last segment)";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// The method of a request.
#[derive(Debug)]
pub struct Method(pub String);

impl Written for Method {
    const EXPECTED: &'static str = "a method in capitals, such as \"GET\"";

    fn parse(text: &str) -> Option<Self> {
        let capitals = name::is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase());
        capitals.then(|| Self(text.to_owned()))
    }
}

/// A cookie's name (RFC 6265, section 4.1.1: a token). Case matters.
#[derive(Debug)]
pub struct CookieName(pub String);

impl Written for CookieName {
    const EXPECTED: &'static str = "a cookie's name: letters, digits and !#$%&'*+-.^_`|~";

    fn parse(text: &str) -> Option<Self> {
        name::is_token(text).then(|| Self(text.to_owned()))
    }
}

/// A header's name, in lower case (RFC 9110, section 5.1: a token).
#[derive(Debug)]
pub struct HeaderName(pub String);

impl Written for HeaderName {
    const EXPECTED: &'static str = "a header's name: letters, digits and !#$%&'*+-.^_`|~";

    fn parse(text: &str) -> Option<Self> {
        name::is_token(text).then(|| Self(text.to_ascii_lowercase()))
    }
}

/// What stands before a token in a header, such as `Bearer `.
#[derive(Debug)]
pub struct TokenPrefix(pub String);

impl Written for TokenPrefix {
    const EXPECTED: &'static str = "printable ASCII, such as \"Bearer \"";

    fn parse(text: &str) -> Option<Self> {
        let printable = !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        printable.then(|| Self(text.to_owned()))
    }
}

/// The name of a parameter of a query, as it reads when it is decoded.
#[derive(Debug)]
pub struct QueryName(pub String);

impl Written for QueryName {
    const EXPECTED: &'static str = "the name of a query parameter";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

/// The name of a rule.
#[derive(Debug)]
pub struct RuleName(pub String);

impl Written for RuleName {
    const EXPECTED: &'static str = "1 to 128 characters, none of them a control character";

    fn parse(text: &str) -> Option<Self> {
        let length = text.chars().count();
        ((1..=128).contains(&length) && !text.contains(char::is_control)).then(|| Self(text.to_owned()))
    }
}

impl Written for annotate::Field {
    const EXPECTED: &'static str = "one of id, ip, ttl, idle, r, w, age, d, d.KEY, status";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_a_whole_number_and_a_unit() {
        assert_eq!(duration("250ms"), Some(250));
        assert_eq!(duration("5s"), Some(5_000));
        assert_eq!(duration("10m"), Some(600_000));
        assert_eq!(duration("12h"), Some(43_200_000));
        assert_eq!(duration("30d"), Some(2_592_000_000));
        for wrong in
            ["", "5", "s", "-5s", "1.5s", " 5s", "5 s", "5S", "1h30m", "99999999999999999999s", "9999999999999999d"]
        {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_shown_as_it_would_be_written(millis in 1..10_000_000_000u64) {
            prop_assert_eq!(duration(&shown(millis)), Some(millis));
        }
    }

    #[test]
    fn apps_are_what_rest_sessions_takes() {
        for right in ["abc", "my_web-App2", "a2345678901234567890"] {
            assert!(App::parse(right).is_some(), "{right}");
        }
        for wrong in ["", "ab", "a23456789012345678901", "my app", "äbc", "a/b/c", "a.b"] {
            assert!(App::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_path_prefix_cannot_reach_into_the_query() {
        assert!(PathPrefix::parse("").is_some());
        assert!(PathPrefix::parse("/path/to/rest-sessions").is_some());
        for wrong in ["/", "a", "/a/", "/a?b", "/a#b", "/a b", "/a\r\nb", "/ä"] {
            assert!(PathPrefix::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}

//! `session-filter token`: the creation time of a token, or why a text is not a token, without showing it.

use jiff::Timestamp;
use rest_sessions_core::session::token::Token;

/// The length of a token, in bytes.
const LENGTH: usize = 64;

/// The result of [`inspect`].
pub struct Inspection {
    pub text: String,
    pub is_token: bool,
}

/// Describes a token. `now_ms` is in milliseconds since 1970.
#[must_use]
pub fn inspect(token: &str, now_ms: u64) -> Inspection {
    let inspection = |is_token, text: String| Inspection { text: format!("{text}\n"), is_token };
    if let Some(token) = Token::parse(token.as_bytes(), &|| now_ms) {
        return inspection(true, format!("well-formed: 64 letters and digits\n{}", creation(&token, now_ms)));
    }
    inspection(false, format!("not a token: {}", why_invalid(token, now_ms)))
}

/// Why a text is not a token, without any part of the text.
#[must_use]
pub fn why_invalid(text: &str, now_ms: u64) -> String {
    let count = text.chars().count();
    let other = text.chars().position(|character| !character.is_ascii_alphanumeric());
    let other = other.map(|at| format!("character {} is neither a letter nor a digit", at.saturating_add(1)));
    match other {
        _ if count == 0 => "it is empty; expected 64 letters and digits".to_owned(),
        Some(other) if count == LENGTH => format!("{other}; expected 64 letters and digits"),
        Some(other) => format!("it has {count} characters, and {other}; expected 64 letters and digits"),
        None if count != LENGTH => format!("it has {count} characters; expected 64 letters and digits"),
        // Valid but for its creation time.
        None => match Token::parse(text.as_bytes(), &|| u64::MAX) {
            Some(token) => {
                format!(
                    "its creation time is in the future, or the clock of this machine is wrong\n{}",
                    creation(&token, now_ms)
                )
            }
            None => "expected 64 letters and digits".to_owned(),
        },
    }
}

fn creation(token: &Token, now_ms: u64) -> String {
    let Some(created_ms) = token.created_ms() else {
        return "it has no creation time: rest-sessions encodes one in the last 9 characters; \
                limits.age ends sessions without one"
            .to_owned();
    };
    let when = i64::try_from(created_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let when = when.map_or_else(|| "after the year 9999".to_owned(), |when| format!("{when:.0}"));
    match now_ms.checked_sub(created_ms) {
        Some(age_ms) => format!("created {when}, {} ago", format_duration(age_ms)),
        None => format!("created {when}, {} in the future", format_duration(created_ms.saturating_sub(now_ms))),
    }
}

/// Formats a duration in its two largest units, such as `2 h 1 min`. Milliseconds are cut off.
#[must_use]
pub fn format_duration(ms: u64) -> String {
    let s = ms / 1_000;
    let units = [(s / 86_400, "d"), (s / 3_600 % 24, "h"), (s / 60 % 60, "min"), (s % 60, "s")];
    let largest = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = units.iter().skip(largest).take(2).enumerate().filter(|(index, (count, _))| *index == 0 || *count > 0);
    shown.map(|(_, (count, unit))| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_MS: u64 = 1_760_000_000_000;

    #[test]
    fn a_duration_is_shown_in_its_two_largest_units() {
        for (ms, shown) in [
            (0, "0 s"),
            (999, "0 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h"),
            (3_661_000, "1 h 1 min"),
            (86_400_000 * 3 + 1_000, "3 d"),
            (86_400_000 * 3 + 7_200_000, "3 d 2 h"),
        ] {
            assert_eq!(format_duration(ms), shown);
        }
    }

    proptest! {
        #[test]
        fn an_inspection_agrees_with_the_filter_and_shows_no_part_of_the_text(text in "[a-zA-Z0-9]{62,66}|.{0,70}|[a-z0-9]{55}Z[0-9a-z]{8}") {
            let inspection = inspect(&text, NOW_MS);
            prop_assert_eq!(inspection.is_token, Token::parse(text.as_bytes(), &|| NOW_MS).is_some());
            let shows = (8..=text.len()).any(|end| text.get(end - 8..end).is_some_and(|part| inspection.text.contains(part)));
            prop_assert!(!shows || text.len() < 16, "{}", inspection.text);
        }
    }
}

//! `session-filter token`: what can be told of a token without showing it.

use jiff::Timestamp;
use rest_sessions_core::session::token::Token;

/// How long a token is.
const LENGTH: usize = 64;

/// What is told, and whether it is a token.
pub struct Told {
    pub text: String,
    pub is_token: bool,
}

/// Tells of a token when it was made, or why it is none.
#[must_use]
pub fn tell(token: &str, now_ms: u64) -> Told {
    let told = |is_token, text: String| Told { text: format!("{text}\n"), is_token };
    if let Some(token) = Token::parse(token.as_bytes(), &|| now_ms) {
        return told(true, format!("well-formed: 64 letters and digits\n{}", made(&token, now_ms)));
    }
    told(false, format!("no token: {}", flaw(token, now_ms)))
}

/// Why a text is no token, without a part of it.
#[must_use]
pub fn flaw(text: &str, now_ms: u64) -> String {
    let count = text.chars().count();
    let other = text.chars().position(|character| !character.is_ascii_alphanumeric());
    let other = other.map(|at| format!("character {} is neither a letter nor a digit", at.saturating_add(1)));
    match other {
        _ if count == 0 => "it is empty; expected 64 letters and digits".to_owned(),
        Some(other) if count == LENGTH => format!("{other}; expected 64 letters and digits"),
        Some(other) => format!("it has {count} characters, and {other}; expected 64 letters and digits"),
        None if count != LENGTH => format!("it has {count} characters; expected 64 letters and digits"),
        // It would be one at another time.
        None => match Token::parse(text.as_bytes(), &|| u64::MAX) {
            Some(token) => {
                format!("it says that it was made in the future, or the clock here is wrong\n{}", made(&token, now_ms))
            }
            None => "expected 64 letters and digits".to_owned(),
        },
    }
}

fn made(token: &Token, now_ms: u64) -> String {
    let Some(created_ms) = token.created_ms() else {
        return "it does not tell when it was made; tokens of rest-sessions do, in their last 9 characters, \
                and limits.age ends any other"
            .to_owned();
    };
    let when = i64::try_from(created_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let when = when.map_or_else(|| "long after our time".to_owned(), |when| format!("{when:.0}"));
    match now_ms.checked_sub(created_ms) {
        Some(age_ms) => format!("made {when}, {} ago", span(age_ms)),
        None => format!("made {when}, {} ahead", span(created_ms.saturating_sub(now_ms))),
    }
}

/// A time in its two largest units.
#[must_use]
pub fn span(ms: u64) -> String {
    let s = ms / 1_000;
    let units = [(s / 86_400, "d"), (s / 3_600 % 24, "h"), (s / 60 % 60, "min"), (s % 60, "s")];
    let largest = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = units.iter().skip(largest).take(2).enumerate().filter(|(place, (count, _))| *place == 0 || *count > 0);
    shown.map(|(_, (count, unit))| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_MS: u64 = 1_760_000_000_000;

    #[test]
    fn a_time_is_shown_in_two_units() {
        for (ms, shown) in [
            (0, "0 s"),
            (999, "0 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h"),
            (3_661_000, "1 h 1 min"),
            (86_400_000 * 3 + 1_000, "3 d"),
            (86_400_000 * 3 + 7_200_000, "3 d 2 h"),
        ] {
            assert_eq!(span(ms), shown);
        }
    }

    proptest! {
        #[test]
        fn what_is_told_agrees_with_the_filter_and_shows_nothing(text in "[a-zA-Z0-9]{62,66}|.{0,70}|[a-z0-9]{55}Z[0-9a-z]{8}") {
            let told = tell(&text, NOW_MS);
            prop_assert_eq!(told.is_token, Token::parse(text.as_bytes(), &|| NOW_MS).is_some());
            let shows = (8..=text.len()).any(|end| text.get(end - 8..end).is_some_and(|part| told.text.contains(part)));
            prop_assert!(!shows || text.len() < 16, "{}", told.text);
        }
    }
}

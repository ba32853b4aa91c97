//! Redacts tokens in output, in every encoding.

/// The length of a token. A longer run of letters and digits may contain one.
const MIN_LENGTH: usize = 64;

/// The number of nested percent-encodings that are decoded.
const MAX_ENCODINGS: usize = 4;

/// Replaces everything that may contain a token with `…`: 64 or more letters and digits in a row, each plain or
/// percent-encoded up to four times.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut units: Vec<Unit> =
        text.bytes().enumerate().map(|(at, byte)| Unit { byte, start: at, end: at.saturating_add(1) }).collect();
    for _ in 0..MAX_ENCODINGS {
        units = percent_decode(&units);
    }
    let mut redacted = String::new();
    let mut from = 0;
    for run in units.split(|unit| !unit.byte.is_ascii_alphanumeric()).filter(|run| run.len() >= MIN_LENGTH) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            redacted.push_str(text.get(from..first.start).unwrap_or_default());
            redacted.push('…');
            from = last.end;
        }
    }
    redacted.push_str(text.get(from..).unwrap_or_default());
    redacted
}

/// A decoded byte, and the range of its encoding in the text.
#[derive(Clone, Copy)]
struct Unit {
    byte: u8,
    start: usize,
    end: usize,
}

fn percent_decode(units: &[Unit]) -> Vec<Unit> {
    let mut decoded = Vec::with_capacity(units.len());
    let mut rest = units;
    while let [first, after @ ..] = rest {
        let (unit, left) = match rest {
            [percent, high, low, left @ ..] if percent.byte == b'%' => match hex(high.byte).zip(hex(low.byte)) {
                Some((high, nibble)) => (Unit { byte: high << 4 | nibble, start: percent.start, end: low.end }, left),
                None => (*first, after),
            },
            _ => (*first, after),
        };
        decoded.push(unit);
        rest = left;
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_may_be_a_token_is_redacted_and_nothing_else() {
        let token = "aB3".repeat(22)[..64].to_owned();
        assert_eq!(redact(&format!("a={token}; b=1")), "a=…; b=1");
        assert_eq!(redact(&token), "…");
        assert_eq!(redact(&format!("x{token}y é {token}")), "… é …");
        for short in ["", "é", &token[..63], &format!("{}-{}", &token[..40], &token[..40])] {
            assert_eq!(redact(short), short);
        }
    }

    proptest! {
        #[test]
        fn no_encoding_of_a_token_is_printed(
            token in "[a-zA-Z0-9]{64}",
            encoded in proptest::collection::vec(0u8..4, 64),
            before in "[^a-zA-Z0-9%]{0,5}",
            after in "[^a-zA-Z0-9%]{0,5}",
        ) {
            let mut spelled = String::new();
            for (byte, times) in token.bytes().zip(encoded) {
                let mut unit = char::from(byte).to_string();
                for _ in 0..times {
                    unit = unit.bytes().map(|byte| format!("%{byte:02x}")).collect();
                }
                spelled.push_str(&unit);
            }
            prop_assert_eq!(redact(&format!("{before}{spelled}{after}")), format!("{before}…{after}"));
        }
    }
}

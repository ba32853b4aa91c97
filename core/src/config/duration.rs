//! Durations, such as `"250ms"`: their units, parsing and formatting.

use super::json::Json;
use super::reader::{Node, Read};

/// A duration from `MIN` to `MAX` milliseconds, such as `"250ms"`.
#[derive(Clone, Copy, Debug)]
pub struct Millis<const MIN: u64, const MAX: u64>(pub u64);

/// A minute in milliseconds.
pub const MINUTE: u64 = 60_000;
/// An hour in milliseconds.
pub const HOUR: u64 = 3_600_000;
/// 30 days in milliseconds.
pub const MONTH: u64 = 2_592_000_000;
/// 365 days in milliseconds.
pub const YEAR: u64 = 31_536_000_000;

impl<const MIN: u64, const MAX: u64> Read for Millis<MIN, MAX> {
    fn read(node: Node<'_>) -> Option<Self> {
        millis(node, MIN, MAX).map(Self)
    }
}

fn millis(node: Node<'_>, min: u64, max: u64) -> Option<u64> {
    let found = match node.json() {
        Json::Text(text) => duration(text).filter(|millis| (min..=max).contains(millis)),
        _ => None,
    };
    if found.is_none() {
        let (min, max) = (shown(min), shown(max));
        node.unexpected(&format_args!("a duration from {min} to {max}, such as \"250ms\", \"5s\", \"10m\""));
    }
    found
}

/// The units of durations in milliseconds, in descending order.
pub const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", HOUR), ("m", MINUTE), ("s", 1_000), ("ms", 1)];

/// Parses a duration, such as `250ms`. The result is in milliseconds.
pub fn duration(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    count.parse::<u64>().ok()?.checked_mul(*millis)
}

/// Formats milliseconds in the largest unit that divides them.
pub fn shown(millis: u64) -> String {
    let unit = UNITS.iter().find_map(|(name, unit)| {
        let count = millis.checked_div(*unit).filter(|count| *count > 0 && count.saturating_mul(*unit) == millis)?;
        Some(format!("{count}{name}"))
    });
    unit.unwrap_or_else(|| format!("{millis}ms"))
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
        fn a_formatted_duration_is_parsed_to_itself(millis in 1..10_000_000_000u64) {
            prop_assert_eq!(duration(&shown(millis)), Some(millis));
        }
    }
}

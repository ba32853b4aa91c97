//! Ranges of durations as regular expressions, since JSON Schema has no durations.

use super::super::duration::UNITS;

/// Durations from `min` to `max` milliseconds, in all units.
pub fn durations(min: u64, max: u64) -> String {
    let of_units = UNITS.iter().filter_map(|(unit, millis)| {
        let (least, most) = (min.checked_next_multiple_of(*millis)?.checked_div(*millis)?, max.checked_div(*millis)?);
        (least <= most).then(|| format!("{}{unit}", integers(least, most)))
    });
    format!("^0*(?:{})$", of_units.collect::<Vec<_>>().join("|"))
}

/// The integers from `least` to `most`, without leading zeros.
fn integers(least: u64, most: u64) -> String {
    let mut alternatives = Vec::new();
    let (mut from, mut last) = (least, 9u64);
    loop {
        if from <= last {
            let (low, high) = (from.to_string(), most.min(last).to_string());
            alternatives.push(of_one_length(low.as_bytes(), high.as_bytes()));
            if most <= last {
                break;
            }
            from = last.saturating_add(1);
        }
        last = last.saturating_mul(10).saturating_add(9);
    }
    format!("(?:{})", alternatives.join("|"))
}

/// The numbers between two numbers of the same length, both included.
fn of_one_length(low: &[u8], high: &[u8]) -> String {
    let ([first, low_rest @ ..], [last, high_rest @ ..]) = (low, high) else { return String::new() };
    if low.iter().all(|digit| *digit == b'0') && high.iter().all(|digit| *digit == b'9') {
        return if low.len() == 1 { "[0-9]".to_owned() } else { format!("[0-9]{{{}}}", low.len()) };
    }
    if first == last {
        return format!("{}{}", char::from(*first), of_one_length(low_rest, high_rest));
    }
    let (nines, zeros) = (vec![b'9'; low_rest.len()], vec![b'0'; low_rest.len()]);
    let mut alternatives = vec![format!("{}{}", char::from(*first), of_one_length(low_rest, &nines))];
    let (next, before) = (first.saturating_add(1), last.saturating_sub(1));
    if next <= before {
        let (next, before) = (char::from(next), char::from(before));
        let digit = if next == before { next.to_string() } else { format!("[{next}-{before}]") };
        alternatives.push(format!("{digit}{}", of_one_length(&zeros, &nines)));
    }
    alternatives.push(format!("{}{}", char::from(*last), of_one_length(&zeros, high_rest)));
    format!("(?:{})", alternatives.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_all_numbers_in_it() {
        assert_eq!(integers(0, 9), "(?:[0-9])");
        assert_eq!(integers(1, 3), "(?:(?:1|2|3))");
        assert_eq!(integers(1, 60), "(?:(?:1|[2-8]|9)|(?:1[0-9]|[2-5][0-9]|60))");
        assert!(durations(100, 60_000).starts_with("^0*(?:(?:1)m|(?:(?:1|[2-8]|9)|(?:1[0-9]|[2-5][0-9]|60))s|"));
    }
}

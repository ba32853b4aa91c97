//! `memchr` for eight bytes at a time: clients decide how long cookies and paths are.

const WORD: usize = 8;

/// Splits before the first occurrence of a byte. Without one, the second part is empty.
#[inline(always)]
pub fn split_before(bytes: &[u8], wanted: u8) -> (&[u8], &[u8]) {
    let at = position(bytes, wanted).unwrap_or(bytes.len());
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

#[inline(always)]
fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([0x01; WORD]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; WORD]);
    let pattern = u64::from_le_bytes([wanted; WORD]);
    let (words, rest) = bytes.as_chunks::<WORD>();
    let mut at = 0_usize;
    for word in words {
        // A wanted byte becomes zero. The subtraction sets the high bit of the lowest zero byte; its borrow can only
        // affect bytes above it.
        let differing = u64::from_le_bytes(*word) ^ pattern;
        let zeros = differing.wrapping_sub(ONES) & !differing & HIGHS;
        if zeros != 0 {
            let within = usize::try_from(zeros.trailing_zeros() / u8::BITS).ok()?;
            return Some(at.wrapping_add(within));
        }
        at = at.wrapping_add(WORD);
    }
    rest.iter().position(|byte| *byte == wanted).map(|within| at.wrapping_add(within))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_an_occurrence_the_second_part_is_empty() {
        assert_eq!(split_before(b"abc", b';'), (&b"abc"[..], &b""[..]));
        assert_eq!(split_before(b"", b';'), (&b""[..], &b""[..]));
        assert_eq!(split_before(b"ab;c;", b';'), (&b"ab"[..], &b";c;"[..]));
    }

    proptest! {
        #[test]
        fn the_first_occurrence_is_that_of_a_bytewise_search(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                // Bytes that differ by one bit from the one that is wanted, and by what a borrow makes of them.
                proptest::collection::vec(
                    prop::sample::select(vec![b';', b';' + 1, b';' - 1, b';' ^ 0x80, 0, 0xff]), 0..40),
            ],
            skipped in 0usize..8,
            wanted in prop_oneof![Just(b';'), any::<u8>()],
        ) {
            let bytes = bytes.get(skipped..).unwrap_or_default();
            prop_assert_eq!(position(bytes, wanted), bytes.iter().position(|byte| *byte == wanted));
        }
    }
}

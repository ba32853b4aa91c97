//! The closure of a path under all steps, within bounds that hold for any path.

use super::Ambiguity;
use super::case::PathCase;
use super::step::Step;
use super::survey::{Steps, survey};

/// The maximum number of readings of a path. A path with more is refused.
pub const MAX_READINGS: usize = 32;

/// The maximum number of decodings that lead to a reading. A path with an encoded byte after them is refused.
pub const MAX_DECODINGS: u8 = 3;

/// The maximum length of a path that is not plain, in bytes.
pub const MAX_LENGTH: usize = 8 * 1024;

/// How often each byte of a path may be looked at, and how many bytes more, so that short paths may have many readings.
///
/// With these bounds, a request with any path costs at most ten times one with a plain path of that length
/// (`tests/counts` holds it). Every request has costs that do not depend on its path, which the bytes more stand for.
pub const MAX_PASSES: usize = 3;
/// See [`MAX_PASSES`].
pub const FREE_BYTES: usize = 640;

/// A search for the readings of one path.
pub struct Closure {
    readings: Vec<Reading>,
    budget: Budget,
    case: PathCase,
}

struct Reading {
    path: Vec<u8>,
    /// The number of decodings that led to it.
    decodings: u8,
    /// The steps that change it and are not applied yet.
    steps: Steps,
}

/// The bytes that may still be looked at.
struct Budget(usize);

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), Ambiguity> {
        self.0 = self.0.checked_sub(bytes).ok_or(Ambiguity::TooManyReadings)?;
        Ok(())
    }
}

impl Closure {
    /// All readings of the path, the path itself first. The first reading that is refused ends the search.
    ///
    /// # Errors
    ///
    /// If the path or one of its readings is refused.
    pub fn of(path: &[u8], case: PathCase) -> Result<Vec<Vec<u8>>, Ambiguity> {
        let budget = Budget(path.len().saturating_mul(MAX_PASSES).saturating_add(FREE_BYTES));
        let mut closure = Self { readings: Vec::new(), budget, case };
        closure.search(path)?;
        Ok(closure.readings.into_iter().map(|reading| reading.path).collect())
    }

    fn search(&mut self, path: &[u8]) -> Result<(), Ambiguity> {
        if path.len() > MAX_LENGTH {
            return Err(Ambiguity::TooLong);
        }
        self.add(path.to_vec(), 0)?;
        // Most attacks show after some decodings. They are found first, since the other steps multiply the readings.
        let mut last = 0;
        while self.apply(last, Step::Decode)? {
            last = self.readings.len().saturating_sub(1);
        }
        let mut index = 0_usize;
        while index < self.readings.len() {
            for step in Step::ALL {
                self.apply(index, step)?;
            }
            index = index.saturating_add(1);
        }
        Ok(())
    }

    /// Applies a step to a reading that it changes. Returns whether the result was not known.
    fn apply(&mut self, index: usize, step: Step) -> Result<bool, Ambiguity> {
        let Some(reading) = self.readings.get_mut(index).filter(|reading| reading.steps.contains(step)) else {
            return Ok(false);
        };
        reading.steps.remove(step);
        let decodings = reading.decodings.saturating_add(u8::from(step == Step::Decode));
        if decodings > MAX_DECODINGS {
            return Err(Ambiguity::TooManyDecodings);
        }
        // Bytes outside ASCII are looked at more closely.
        let looks = if matches!(step, Step::FoldCase | Step::DropInvalidUtf8) { 3_usize } else { 1 };
        self.budget.spend(reading.path.len().saturating_mul(looks))?;
        let path = step.apply(&reading.path);
        self.add(path, decodings)
    }

    fn add(&mut self, path: Vec<u8>, decodings: u8) -> Result<bool, Ambiguity> {
        for known in self.readings.iter().filter(|known| known.path.len() == path.len()) {
            self.budget.spend(path.len())?;
            if known.path == path {
                return Ok(false);
            }
        }
        self.budget.spend(path.len())?;
        let steps = survey(&path, self.readings.is_empty(), self.case)?;
        if self.readings.len() >= MAX_READINGS {
            return Err(Ambiguity::TooManyReadings);
        }
        self.readings.push(Reading { path, decodings, steps });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many readings were found, how many bytes were looked at, and the result, with this budget.
    fn searched(path: &str, budget: usize) -> (usize, usize, Result<(), Ambiguity>) {
        let mut closure = Closure { readings: Vec::new(), budget: Budget(budget), case: PathCase::Ignore };
        let result = closure.search(path.as_bytes());
        (closure.readings.len(), budget - closure.budget.0, result)
    }

    #[test]
    fn as_many_readings_as_allowed_pass_and_one_more_is_refused() {
        let result = |path| (searched(path, usize::MAX).0, searched(path, usize::MAX).2);
        assert_eq!(result("/x#?//b/c;%ff\\\u{17f}"), (MAX_READINGS, Ok(())));
        assert_eq!(result("/x#?//b/c;%ff\\\u{17f}%c5"), (MAX_READINGS, Err(Ambiguity::TooManyReadings)));
    }

    #[test]
    fn honest_paths_take_a_fraction_of_the_budget() {
        for (path, passes) in [
            ("/caf%C3%A9/100%25", 3),
            ("/api/groups%2Fprojects/files", 3),
            ("/a%20b/c;v=1", 7),
            ("/a%20page;v=1/%C3%A9", 11),
            ("/a;v=1/b;w=2/c%20d//e", 24),
        ] {
            let (_, bytes, result) = searched(path, usize::MAX);
            assert_eq!(result, Ok(()), "{path}");
            assert!(bytes <= passes * path.len(), "{path}: {bytes}");
        }
    }

    #[test]
    fn the_budget_ends_the_search() {
        let path = format!("/x#?//b/c;%ff\\\u{17f}{}", "a".repeat(4_000));
        let (readings, bytes, result) = searched(&path, usize::MAX);
        assert_eq!((readings, result), (MAX_READINGS, Ok(())));
        assert!(bytes > 100 * path.len());
        assert_eq!(searched(&path, bytes).2, Ok(()));
        assert_eq!(searched(&path, bytes - 1).2, Err(Ambiguity::TooManyReadings));
        assert_eq!(Closure::of(path.as_bytes(), PathCase::Ignore), Err(Ambiguity::TooManyReadings));
    }

    #[test]
    fn attacks_by_encoding_end_after_the_decodings() {
        for path in
            [format!("/%{}", "25".repeat(4_000)), "/%25252525".to_owned(), format!("/{}", "%25252541".repeat(800))]
        {
            let (readings, bytes, result) = searched(&path, usize::MAX);
            assert_eq!((readings, result), (4, Err(Ambiguity::TooManyDecodings)));
            // Each reading is surveyed, and decoded but for the last.
            assert!(bytes <= 7 * path.len(), "{path}: {bytes}");
        }
    }

    proptest! {
        #[test]
        fn no_path_is_looked_at_more_often_than_the_budget_allows(
            pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..9), length in 1usize..2_000
        ) {
            let piece = pieces.concat();
            for path in [format!("/{piece}{}", "a".repeat(length)), format!("/{}", piece.repeat(length.div_ceil(piece.len())))] {
                let allowed = MAX_PASSES * path.len() + FREE_BYTES;
                let (_, bytes, _) = searched(&path, allowed);
                prop_assert!(bytes <= allowed);
                let same = searched(&path, allowed).2 == Closure::of(path.as_bytes(), PathCase::Ignore).map(|_| ());
                prop_assert!(path.len() > MAX_LENGTH || same);
            }
        }
    }

    const PIECES: [&str; 16] = [
        "/a",
        "//",
        "%41",
        "%2f",
        "\\",
        ";",
        "?",
        "#",
        "%25",
        "25",
        "%253b",
        "%3f",
        "%ff",
        "%e2%84%aa",
        "\u{17f}",
        "/c;",
    ];
}

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
/// A request costs about as much as a plain path of this many bytes before its path is looked at. With these bounds, a
/// request with any path costs at most ten times one with a plain path of that length (`tests/counts` holds it).
const MAX_PASSES: usize = 8;
const FREE_BYTES: usize = 8 * 1024;

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
        self.budget.spend(reading.path.len())?;
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
    use super::*;

    /// How many readings were found, how many bytes were looked at, and the result, with this budget.
    fn searched(path: &str, budget: usize) -> (usize, usize, Result<(), Ambiguity>) {
        let mut closure = Closure { readings: Vec::new(), budget: Budget(budget), case: PathCase::Ignore };
        let result = closure.search(path.as_bytes());
        (closure.readings.len(), budget - closure.budget.0, result)
    }

    #[test]
    fn adhoc() {
        for path in [
            "/a%20page;v=1/%C3%A9",
            "/caf%C3%A9/100%25",
            "/a;v=1/b;w=2/c%20d//e",
            "/a/b%2Fc",
            "/x;/y?z#a\\b",
            "/%C3%A9t%C3%A9%ff",
            "/a%20b/c;v=1",
            "/a%20b//c;v=1/d",
            "/a%20b%2ec/d;v=1/x",
            "/a//b%41\\c;d%2e",
            "/a//b%41\\c;d/%2e",
            "/a//b%41\\c;d/%2e#x",
            "/a//b%2f\\c;d/%2ex?y",
            "/a//b%3f\\c;d/%2ex?y",
            "/a//b\\c;d/e\u{17f}?x",
            "/a//b\\c;d/e\u{17f}?x#",
        ] {
            let (n, work, result) = searched(path, usize::MAX);
            println!("{path}: {n} readings, {work} bytes, {} passes {result:?}", work / path.len());
        }
    }
}

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

    #[test]
    fn adhoc() {
        let pieces: Vec<&str> = vec!["/a", "//", "%41", "%2f", "%5c", "\\", ";", "?", "#", "%25", "25", "2541", "%3b", "%3f", "%23", "%ff", "%e2%84%aa", "\u{17f}", "/", "b", "/c;", "%253b"];
        let mut state = 1u64;
        let mut next = |n: usize| { state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (state >> 33) as usize % n };
        let cost = |path: &[u8]| {
            let budget = Budget(usize::MAX);
            let mut closure = Closure { readings: Vec::new(), budget, case: PathCase::Ignore };
            let result = closure.search(path);
            (usize::MAX - closure.budget.0, closure.readings.len(), result)
        };
        for length in [40, 200, 1000, 8000] {
            let mut best = (0, 0, Vec::new(), Ok(()));
            for round in 0..30 {
                let mut current: Vec<usize> = (0..8).map(|_| next(pieces.len())).collect();
                let mut value = 0;
                for _ in 0..400 {
                    let mut changed = current.clone();
                    match next(3) { 0 if changed.len() > 1 => { let at = next(changed.len()); changed.remove(at); }, 1 => { let at = next(changed.len() + 1); changed.insert(at, next(pieces.len())); }, _ => { let at = next(changed.len()); changed[at] = next(pieces.len()); } }
                    let text: String = changed.iter().map(|i| pieces[*i]).collect();
                    let mut path = format!("/x{}", text);
                    if path.len() > length { continue; }
                    if round % 2 == 0 { while path.len() + text.len() <= length && !text.is_empty() { path.push_str(&text); } }
                    else { path = format!("/x{}{}", "a".repeat(length - path.len()), text); }
                    let (work, count, result) = cost(path.as_bytes());
                    if work >= value { value = work; current = changed; if work > best.0 { best = (work, count, path.as_bytes().to_vec(), result); } }
                }
            }
            println!("{length}: work {} = {} passes, {} readings, {:?}: {}", best.0, best.0 / length, best.1, best.3, String::from_utf8_lossy(&best.2[..100.min(best.2.len())]));
            println!("   ...{}", String::from_utf8_lossy(&best.2[best.2.len().saturating_sub(60)..]));
        }
    }
}

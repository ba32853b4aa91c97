//! An index of rules by path: selection takes time by the path's length, not by the number of rules.

use super::matching::{Match, PathPattern};
use crate::http::path::PathCase;

/// A hash table from path patterns to the positions of their rules. Each list of positions ascends.
///
/// A lookup walks the path once with a rolling hash, and looks up a prefix where a segment ends. The table holds the
/// configuration's patterns alone, so clients cannot cause collisions, and the hash needs no secret key.
#[derive(Debug)]
pub struct PathIndex {
    case: PathCase,
    /// Their number is a power of two.
    buckets: Vec<Vec<Stem>>,
    /// The length of the longest stem, in bytes. The walk ends there.
    longest: usize,
    /// Rules without path patterns: they match all requests, also those without a path.
    pathless: Vec<usize>,
}

/// The case-folded path of patterns, and the positions of their rules.
#[derive(Debug)]
struct Stem {
    hash: u32,
    path: Vec<u8>,
    exact: Vec<usize>,
    prefixes: Vec<usize>,
}

/// The initial value of FNV-1a, a hash that takes a byte at a time.
const EMPTY: u32 = 0x811c_9dc5;

#[inline(always)]
fn grown(hash: u32, byte: u8) -> u32 {
    (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
}

impl PathIndex {
    /// The index of rules in their order.
    pub fn new<'a>(rules: impl Iterator<Item = &'a Match>, case: PathCase) -> Self {
        let mut pathless = Vec::new();
        let mut named = Vec::new();
        for (place, rule) in rules.enumerate() {
            match &rule.paths {
                Some(patterns) => named.extend(patterns.iter().map(|pattern| (pattern, place))),
                None => pathless.push(place),
            }
        }
        let mut buckets = Vec::new();
        buckets.resize_with(named.len().next_power_of_two(), Vec::new);
        let mut index = Self { case, buckets, longest: 0, pathless };
        for (pattern, place) in named {
            index.insert(pattern, place);
        }
        index
    }

    fn insert(&mut self, pattern: &PathPattern, place: usize) {
        let (PathPattern::Exact(stem) | PathPattern::Prefix(stem)) = pattern;
        let path: Vec<u8> = stem.bytes().map(|byte| self.case.fold(byte)).collect();
        self.longest = self.longest.max(path.len());
        let hash = path.iter().copied().fold(EMPTY, grown);
        let bucket = self.bucket(hash);
        let Some(bucket) = self.buckets.get_mut(bucket) else { return };
        let known = bucket.iter().position(|stem| stem.path == path).unwrap_or(bucket.len());
        if known == bucket.len() {
            bucket.push(Stem { hash, path, exact: Vec::new(), prefixes: Vec::new() });
        }
        let Some(stem) = bucket.get_mut(known) else { return };
        match pattern {
            PathPattern::Exact(_) => stem.exact.push(place),
            PathPattern::Prefix(_) => stem.prefixes.push(place),
        }
    }

    fn bucket(&self, hash: u32) -> usize {
        // In a product, high bits depend on all bytes, low bits only on low bits.
        let mixed = usize::try_from(hash ^ hash >> 16).unwrap_or_default();
        mixed & self.buckets.len().wrapping_sub(1)
    }

    /// The stem that equals `start`, the beginning of a path with this hash.
    fn stem(&self, hash: u32, start: &[u8]) -> Option<&Stem> {
        let bucket = self.buckets.get(self.bucket(hash))?;
        bucket.iter().find(|stem| stem.hash == hash && self.case.same(&stem.path, start))
    }

    /// The position of the first rule whose paths match and that `accepts` agrees to. A request without a path matches
    /// only rules without path patterns. `None`: there is no such rule.
    pub fn first(&self, path: Option<&[u8]>, accepts: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = None;
        let mut consider = |places: &[usize]| {
            for place in places {
                // Later rules than the best one cannot win.
                if best.is_some_and(|best| best <= *place) {
                    return;
                }
                if accepts(*place) {
                    best = Some(*place);
                }
            }
        };
        consider(&self.pathless);
        let Some(path) = path else { return best };
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let mut hash = EMPTY;
        for (end, byte) in path.iter().enumerate() {
            if end > self.longest {
                return best;
            }
            // Prefixes end with a segment.
            if *byte == b'/'
                && let Some(stem) = path.get(..end).and_then(|start| self.stem(hash, start))
            {
                consider(&stem.prefixes);
            }
            hash = grown(hash, self.case.fold(*byte));
        }
        if let Some(stem) = self.stem(hash, path) {
            consider(&stem.exact);
            consider(&stem.prefixes);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(rules: &[&[&str]], case: PathCase) -> PathIndex {
        let rules: Vec<Match> = rules
            .iter()
            .map(|paths| Match {
                paths: (!paths.is_empty()).then(|| paths.iter().map(|p| PathPattern::parse(p).unwrap()).collect()),
                ..Match::default()
            })
            .collect();
        PathIndex::new(rules.iter(), case)
    }

    #[test]
    fn the_earliest_rule_wins_with_any_kind_of_pattern() {
        let index = index(&[&["/a/b/*"], &["/a/b/c"], &[], &["/*"]], PathCase::Ignore);
        let first = |path: &str| index.first(Some(path.as_bytes()), |_| true);
        assert_eq!(first("/A/b/c"), Some(0));
        assert_eq!(first("/x"), Some(2));
        assert_eq!(index.first(Some(b"/a/b/c"), |place| place != 0), Some(1));
        assert_eq!(index.first(Some(b"/a/b/c"), |place| place > 2), Some(3));
        assert_eq!(index.first(None, |_| true), Some(2));
        assert_eq!(index.first(None, |place| place == 3), None);
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_linear_search_finds(
            rules in proptest::collection::vec(proptest::collection::vec("(/[abA]{1,2}){0,2}(/|/\\*)?", 0..3), 0..6),
            path in "(/[abAB]{0,2}){1,4}",
            refused in 0usize..6,
        ) {
            let rules: Vec<Vec<PathPattern>> =
                rules.iter().map(|paths| paths.iter().filter_map(|path| PathPattern::parse(path)).collect()).collect();
            let matches: Vec<Match> = rules
                .iter()
                .map(|paths| Match { paths: (!paths.is_empty()).then(|| paths.clone()), ..Match::default() })
                .collect();
            for case in [PathCase::Ignore, PathCase::Exact] {
                let by_looking = (0..rules.len()).find(|place| {
                    *place != refused
                        && (rules[*place].is_empty()
                            || rules[*place].iter().any(|pattern| pattern.matches(path.as_bytes(), case)))
                });
                let index = PathIndex::new(matches.iter(), case);
                prop_assert_eq!(index.first(Some(path.as_bytes()), |place| place != refused), by_looking);
            }
        }
    }
}

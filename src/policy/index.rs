//! Finds rules by path without looking at each: a site of a thousand rules costs little more than one of ten.

use std::collections::HashMap;

use super::matching::{Match, PathCase, PathPattern};

/// The places of rules in their list, by the paths that they name. Each list of places ascends.
#[derive(Debug)]
pub struct PathIndex {
    case: PathCase,
    exact: HashMap<Vec<u8>, Vec<usize>>,
    prefixes: HashMap<Vec<u8>, Vec<usize>>,
    /// Beyond it, no start of a path is the stem of a prefix, however long a client makes its path.
    longest_prefix: usize,
    /// Rules that name no paths: they are for all requests, those without a path too.
    pathless: Vec<usize>,
}

impl PathIndex {
    pub fn new<'a>(rules: impl Iterator<Item = &'a Match>, case: PathCase) -> Self {
        let mut index =
            Self { case, exact: HashMap::new(), prefixes: HashMap::new(), longest_prefix: 0, pathless: Vec::new() };
        for (place, rule) in rules.enumerate() {
            let Some(patterns) = &rule.paths else {
                index.pathless.push(place);
                continue;
            };
            for pattern in patterns {
                let (map, stem) = match pattern {
                    PathPattern::Exact(stem) => (&mut index.exact, stem),
                    PathPattern::Prefix(stem) => {
                        index.longest_prefix = index.longest_prefix.max(stem.len());
                        (&mut index.prefixes, stem)
                    }
                };
                map.entry(case.fold(stem.as_bytes()).into_owned()).or_default().push(place);
            }
        }
        index
    }

    /// The first rule whose paths match, if `accepts` agrees. A request without a path matches pathless rules alone.
    pub fn first(&self, path: Option<&[u8]>, accepts: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = None;
        let mut consider = |places: &[usize]| {
            // What stands behind the best so far need not be looked at.
            let better = places.iter().copied().take_while(|place| best.is_none_or(|best| *place < best));
            if let Some(place) = better.into_iter().find(|place| accepts(*place)) {
                best = Some(place);
            }
        };
        consider(&self.pathless);
        if let Some(path) = path {
            let path = self.case.fold(path);
            if let Some(places) = self.exact.get(path.strip_suffix(b"/").unwrap_or(&path)) {
                consider(places);
            }
            // A prefix ends where a segment does.
            let ends =
                path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end).chain([path.len()]);
            for end in ends.take_while(|end| *end <= self.longest_prefix) {
                if let Some(places) = path.get(..end).and_then(|stem| self.prefixes.get(stem)) {
                    consider(places);
                }
            }
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
    fn the_earliest_rule_wins_whatever_kind_of_pattern_it_has() {
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
        fn the_index_finds_what_a_look_at_each_rule_finds(
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

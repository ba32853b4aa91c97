//! The tokens that one request carries in one source: which of them is the token of its session.

use std::iter;

use super::heap;
use super::lookup::{Failure, Lookup};
use super::token::Token;

/// The maximum number of different tokens that are looked up for one request.
pub const MAX_CANDIDATES: usize = 4;

/// The tokens of a request, with the results of their lookups. The session of the request is the one active session among
/// them.
pub struct Candidates(Tokens);

enum Tokens {
    /// The result of its lookup is the request's, and is not kept here.
    One(Token),
    Several(Box<Several>),
}

/// Two to [`MAX_CANDIDATES`] different tokens.
struct Several {
    first: Candidate,
    others: Vec<Candidate>,
}

struct Candidate {
    token: Token,
    /// Absent until its lookup is over.
    result: Option<Lookup>,
}

/// The position of a token among the candidates of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(u8);

/// What the lookups of all candidates mean for their request.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The token of the active session. If there is none, the token that the result is about.
    pub token: Token,
    /// The result for the request.
    pub lookup: Lookup,
    /// More than one token has an active session. Then the request has none.
    pub is_conflict: bool,
}

impl Candidates {
    /// A request's first token.
    #[must_use]
    pub fn new(token: Token) -> Self {
        Self(Tokens::One(token))
    }

    /// Adds a token, unless it is among them already. Returns `false` if there are [`MAX_CANDIDATES`] others.
    pub fn add(&mut self, token: Token) -> bool {
        match &mut self.0 {
            Tokens::One(first) if *first == token => true,
            Tokens::One(first) => {
                let (first, others) = (Candidate::new(first.clone()), vec![Candidate::new(token)]);
                self.0 = Tokens::Several(Box::new(Several { first, others }));
                true
            }
            Tokens::Several(several) => several.add(token),
        }
    }

    /// The heap that they take, in bytes, without the sessions that were found.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Tokens::One(_) => Token::HEAP_BYTES,
            Tokens::Several(several) => {
                let count = several.others.capacity().saturating_add(1);
                let list = heap::of_box(several.others.capacity().saturating_mul(size_of::<Candidate>()));
                let tokens = count.saturating_mul(Token::HEAP_BYTES);
                heap::of_box(size_of::<Several>()).saturating_add(list).saturating_add(tokens)
            }
        }
    }

    /// Looks all tokens up, in their order. `lookup` returns a result that is known at once; each other one must come to
    /// [`Self::record`]. Returns the last result if all are known.
    #[inline(always)]
    pub fn look_up(&mut self, mut lookup: impl FnMut(Position, &Token) -> Option<Lookup>) -> Option<Lookup> {
        match &mut self.0 {
            Tokens::One(token) => lookup(Position::default(), token),
            Tokens::Several(several) => several.look_up(&mut lookup),
        }
    }

    /// The lookup of one token is over. Returns whether it was the last.
    pub fn record(&mut self, position: Position, result: &Lookup) -> bool {
        match &mut self.0 {
            Tokens::One(_) => true,
            Tokens::Several(several) => several.record(position, result),
        }
    }

    /// All lookups are over, and `last` is the last result. The first of these decides:
    ///
    /// 1. More than one session is active: a conflict, so the request has none.
    /// 2. A lookup has failed: its token may have an active session too. Among several failures, one that denies the
    ///    request in spite of `failure_mode: allow` takes precedence.
    /// 3. One session is active: it is the request's.
    /// 4. There is none.
    #[inline(always)]
    #[must_use]
    pub fn resolve(self, last: Lookup) -> Resolved {
        match self.0 {
            Tokens::One(token) => Resolved { token, lookup: last, is_conflict: false },
            Tokens::Several(several) => several.resolve(),
        }
    }
}

impl Several {
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Candidate> {
        iter::once(&mut self.first).chain(&mut self.others)
    }

    fn are_known(&mut self) -> bool {
        self.iter_mut().all(|candidate| candidate.result.is_some())
    }

    fn add(&mut self, token: Token) -> bool {
        if self.iter_mut().any(|candidate| candidate.token == token) {
            return true;
        }
        let has_room = self.others.len().saturating_add(1) < MAX_CANDIDATES;
        if has_room {
            self.others.push(Candidate::new(token));
        }
        has_room
    }

    #[inline(never)]
    fn look_up(&mut self, lookup: &mut dyn FnMut(Position, &Token) -> Option<Lookup>) -> Option<Lookup> {
        for (position, candidate) in (0..).map(Position).zip(self.iter_mut()) {
            candidate.result = lookup(position, &candidate.token);
        }
        if self.are_known() { self.first.result.clone() } else { None }
    }

    #[inline(never)]
    fn record(&mut self, Position(position): Position, result: &Lookup) -> bool {
        if let Some(candidate) = self.iter_mut().nth(position.into()) {
            candidate.result = Some(result.clone());
        }
        self.are_known()
    }

    #[inline(never)]
    fn resolve(self) -> Resolved {
        let Self { first, others } = self;
        let mut decisive = first.decided();
        let mut active = is_active(&decisive.1).then(|| decisive.0.clone());
        let mut is_conflict = false;
        for (token, lookup) in others.into_iter().map(Candidate::decided) {
            if is_active(&lookup) {
                is_conflict |= active.is_some();
                active.get_or_insert_with(|| token.clone());
            }
            if precedence(&lookup) > precedence(&decisive.1) {
                decisive = (token, lookup);
            }
        }
        let (token, lookup) = decisive;
        let lookup = if is_conflict { Lookup::None } else { lookup };
        Resolved { token: active.unwrap_or(token), lookup, is_conflict }
    }
}

impl Candidate {
    fn new(token: Token) -> Self {
        Self { token, result: None }
    }

    /// Without a result, its lookup counts as not made.
    fn decided(self) -> (Token, Lookup) {
        (self.token, self.result.unwrap_or(Lookup::Failed(Failure::Busy)))
    }
}

fn is_active(lookup: &Lookup) -> bool {
    matches!(lookup, Lookup::Active(_))
}

/// Which of several results decides, unless they conflict: the one with the highest number.
fn precedence(lookup: &Lookup) -> u8 {
    match lookup {
        Lookup::None => 0,
        Lookup::Active(_) => 1,
        Lookup::Failed(Failure::Outage(_)) => 2,
        Lookup::Failed(Failure::Busy) => 3,
        Lookup::Failed(Failure::Bad(_)) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::lookup::{BadResponse, Outage};
    use crate::session::session::Parts;
    use crate::session::token::tests::{NOW_MS, token_made_at};
    use proptest::prelude::*;
    use proptest::sample::select;

    fn token(number: usize) -> Token {
        let made_at = NOW_MS - u64::try_from(number).unwrap();
        Token::parse(token_made_at(made_at).as_bytes(), &|| NOW_MS).unwrap()
    }

    fn candidates(count: usize) -> Candidates {
        let mut candidates = Candidates::new(token(0));
        assert!((1..count).all(|number| candidates.add(token(number))));
        candidates
    }

    /// The session of the token with this number.
    fn active(number: usize) -> Lookup {
        Lookup::Active(Parts { id: number.to_string().into(), ttl: "7200", ..Parts::default() }.into())
    }

    const OUTAGE: Lookup = Lookup::Failed(Failure::Outage(Outage::Timeout));
    const BUSY: Lookup = Lookup::Failed(Failure::Busy);
    const BAD: Lookup = Lookup::Failed(Failure::Bad(BadResponse::Status(404)));

    /// The number of the token, its result, and whether there is a conflict.
    fn resolved(results: &[Lookup]) -> (usize, Lookup, bool) {
        let mut candidates = candidates(results.len());
        let mut results = results.iter().cloned();
        let last = candidates.look_up(|_, _| results.next()).expect("all results are known");
        let Resolved { token: found, lookup, is_conflict } = candidates.resolve(last);
        let number = (0..MAX_CANDIDATES).find(|number| token(*number) == found).unwrap();
        (number, lookup, is_conflict)
    }

    #[test]
    fn at_most_four_different_tokens_are_candidates() {
        let mut candidates = candidates(4);
        assert!(candidates.add(token(2)), "it is one of them");
        assert!(!candidates.add(token(4)));
        let mut tokens = Vec::new();
        candidates.look_up(|position, token| {
            tokens.push((position, token.clone()));
            None
        });
        assert_eq!(tokens, [0, 1, 2, 3].map(|number| (Position(number), token(number.into()))));
    }

    #[test]
    fn the_same_token_again_is_one_token() {
        let mut candidates = Candidates::new(token(0));
        assert!(candidates.add(token(0)));
        assert!(matches!(candidates.0, Tokens::One(_)));
    }

    #[test]
    fn the_one_active_session_is_the_requests() {
        assert_eq!(resolved(&[active(0)]), (0, active(0), false));
        assert_eq!(resolved(&[active(0), Lookup::None]), (0, active(0), false));
        assert_eq!(resolved(&[Lookup::None, active(1)]), (1, active(1), false));
        assert_eq!(resolved(&[Lookup::None, Lookup::None, active(2), Lookup::None]), (2, active(2), false));
        assert_eq!(resolved(&[Lookup::None, Lookup::None]), (0, Lookup::None, false));
    }

    #[test]
    fn more_than_one_active_session_is_a_conflict_whatever_the_others_are() {
        assert_eq!(resolved(&[active(0), active(1)]), (0, Lookup::None, true));
        for other in [Lookup::None, OUTAGE, BUSY, BAD, active(2)] {
            assert_eq!(resolved(&[other.clone(), active(1), active(2)]).1, Lookup::None, "{other:?}");
            assert!(resolved(&[other.clone(), active(1), active(2)]).2, "{other:?}");
            assert!(resolved(&[active(0), other.clone(), active(2)]).2, "{other:?}");
        }
    }

    #[test]
    fn a_failed_lookup_fails_the_request() {
        for failed in [OUTAGE, BUSY, BAD] {
            assert_eq!(resolved(&[active(0), failed.clone()]), (0, failed.clone(), false));
            assert_eq!(resolved(&[failed.clone(), active(1)]), (1, failed.clone(), false));
            assert_eq!(resolved(&[Lookup::None, failed.clone()]), (1, failed.clone(), false));
        }
    }

    #[test]
    fn a_failure_that_allows_nothing_takes_precedence() {
        for denies in [BUSY, BAD] {
            assert_eq!(resolved(&[OUTAGE, denies.clone()]).1, denies);
            assert_eq!(resolved(&[denies.clone(), OUTAGE, Lookup::None]).1, denies);
        }
        assert_eq!(resolved(&[BUSY, BAD]).1, BAD);
    }

    #[test]
    fn a_lookup_without_a_result_lets_nothing_pass() {
        let mut candidates = candidates(2);
        assert_eq!(candidates.look_up(|Position(position), _| (position == 0).then(|| active(0))), None);
        assert_eq!(candidates.resolve(active(0)).lookup, BUSY);
    }

    fn result() -> impl Strategy<Value = Lookup> {
        select(vec![Lookup::None, active(0), OUTAGE, BUSY, BAD])
    }

    proptest! {
        #[test]
        fn the_order_of_tokens_and_of_results_changes_nothing(
            (results, order) in prop::collection::vec(result(), 2..=MAX_CANDIDATES)
                .prop_flat_map(|results| (Just(results.clone()), Just((0..results.len()).collect::<Vec<_>>()).prop_shuffle())),
        ) {
            let mut candidates = candidates(results.len());
            assert_eq!(candidates.look_up(|_, _| None), None);
            let known: Vec<_> = order.iter().map(|index| {
                candidates.record(Position(u8::try_from(*index).unwrap()), &results[*index])
            }).collect();
            prop_assert_eq!(known.iter().position(|known| *known), Some(results.len() - 1), "the last one");
            let resolved = candidates.resolve(results[order[0]].clone());

            let sessions = results.iter().filter(|result| is_active(result)).count();
            prop_assert_eq!(resolved.is_conflict, sessions > 1);
            let is_clear = results.iter().all(|result| matches!(result, Lookup::None | Lookup::Active(_)));
            prop_assert_eq!(is_active(&resolved.lookup), is_clear && sessions == 1);
            let shuffled: Vec<_> = order.iter().map(|index| results[*index].clone()).collect();
            let (_, lookup, is_conflict) = super::tests::resolved(&shuffled);
            prop_assert_eq!((lookup, is_conflict), (resolved.lookup, resolved.is_conflict));
        }
    }
}

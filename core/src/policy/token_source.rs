//! Token sources: where a request may carry a token, how it is found, and how it is removed.

use std::borrow::Cow;
use std::fmt;

use crate::http::change::HeaderChange;
use crate::http::headers::{Headers, Known};
use crate::http::path::split_query;
use crate::http::{cookie, query};
use crate::session::candidates::Candidates;
use crate::session::token::Token;

/// A place in a request that may carry a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cookie of this name (case-sensitive).
    Cookie(String),
    /// A header, such as `authorization` with the prefix `Bearer ` (RFC 6750, section 2.1).
    Header {
        /// The name, in lower case.
        name: String,
        /// What precedes the token in the value, compared without case. `None`: the value is the token.
        prefix: Option<String>,
    },
    /// A query parameter, for WebSocket handshakes: browsers cannot set their headers.
    Query {
        /// The name of the parameter.
        name: String,
        /// Whether requests other than WebSocket handshakes may carry the token too.
        any: bool,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Header { name, .. } => write!(f, "header:{name}"),
            Self::Query { name, .. } => write!(f, "query:{name}"),
        }
    }
}

/// The parts of a request that may carry a token.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// All headers of the request.
    pub headers: &'a Headers,
    /// Path and query, as sent.
    pub target: &'a [u8],
    /// Whether it is a WebSocket handshake.
    pub websocket: bool,
}

/// The result of a search for tokens.
pub enum Found<'s> {
    /// No source has a token.
    Nothing,
    /// The tokens of the first source that has one. Their lookups decide which is the session's.
    Tokens(Candidates, &'s Source),
    /// The first source with a token has more different ones than are looked up.
    TooMany,
}

/// Searches the sources in their order. The first one with a token decides. See [`Token::parse`] for `now_ms`.
pub fn find<'s>(sources: &'s [Source], view: RequestView<'_>, now_ms: &dyn Fn() -> u64) -> Found<'s> {
    for source in sources {
        let mut found: Option<Candidates> = None;
        let mut has_room = true;
        source.each_value(view, &mut |value| {
            if let Some(token) = Token::parse(value, now_ms) {
                match &mut found {
                    Some(candidates) => has_room &= candidates.add(token),
                    None => found = Some(Candidates::new(token)),
                }
            }
        });
        match found {
            Some(_) if !has_room => return Found::TooMany,
            Some(candidates) => return Found::Tokens(candidates, source),
            None => {}
        }
    }
    Found::Nothing
}

/// The distinct tokens of all sources, at most `most`.
#[must_use]
pub fn all(sources: &[Source], view: RequestView<'_>, now_ms: &dyn Fn() -> u64, most: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    for source in sources {
        source.each_value(view, &mut |value| {
            if let Some(token) = Token::parse(value, now_ms).filter(|token| !tokens.contains(token))
                && tokens.len() < most
            {
                tokens.push(token);
            }
        });
    }
    tokens
}

/// The header changes that remove all occurrences of these sources from a request, and nothing else.
#[must_use]
pub fn removals(sources: &[Source], view: RequestView<'_>) -> Vec<HeaderChange> {
    let mut changes = Vec::new();
    let cookies: Vec<_> = view.headers.all_known(Known::Cookie).collect();
    let mut kept: Vec<Option<Vec<u8>>> = cookies.iter().map(|_| None).collect();
    let mut target: Option<Vec<u8>> = None;
    for source in sources {
        match source {
            Source::Cookie(name) => {
                for (cookie, kept) in cookies.iter().zip(&mut kept) {
                    if let Some(without) = cookie::without(kept.as_deref().unwrap_or(cookie), name) {
                        *kept = Some(without);
                    }
                }
            }
            Source::Header { name, prefix } => {
                let lines: Vec<_> =
                    view.headers.all(name).map(|line| without_prefix(line, prefix.as_deref())).collect();
                if lines.iter().any(|line| matches!(line, Cow::Owned(_))) {
                    let kept = lines.iter().map(AsRef::as_ref).filter(|line| !line.is_empty());
                    HeaderChange::replace_all(&name.clone().into(), kept, &mut changes);
                }
            }
            Source::Query { name, .. } if source.holds_query(view) => {
                let current = target.as_deref().unwrap_or(view.target);
                target = without_parameter(current, name).or(target);
            }
            Source::Query { .. } => {}
        }
    }
    if kept.iter().any(Option::is_some) {
        let values = cookies.iter().zip(&kept).map(|(cookie, kept)| kept.as_deref().unwrap_or(cookie));
        HeaderChange::replace_all(&"cookie".into(), values.filter(|value| !value.is_empty()), &mut changes);
    }
    changes.extend(target.map(|target| HeaderChange::Replace(":path".into(), target.into())));
    changes
}

/// Path and query without the parameters of this name. `None` if there are none.
fn without_parameter(target: &[u8], name: &str) -> Option<Vec<u8>> {
    let (path, query) = split_query(target);
    let without = query::without(query?, name)?;
    let mut shorter = path.to_vec();
    if !without.is_empty() {
        shorter.push(b'?');
        shorter.extend(without);
    }
    Some(shorter)
}

impl Source {
    /// Path and query without this source's query parameter, also on requests where the parameter carries no token.
    #[must_use]
    pub fn without_query(&self, target: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Query { name, .. } => without_parameter(&target, name).unwrap_or(target),
            Self::Cookie(_) | Self::Header { .. } => target,
        }
    }

    /// Calls `each` with every value of this source, whether it is a token or not.
    pub fn each_value(&self, view: RequestView<'_>, each: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Cookie(name) => {
                view.headers.all_known(Known::Cookie).flat_map(|header| cookie::values(header, name)).for_each(each);
            }
            Self::Header { name, prefix } => {
                let values = view.headers.all(name).flat_map(values);
                values.filter_map(|value| after_prefix(value, prefix.as_deref())).for_each(each);
            }
            Self::Query { name, .. } if self.holds_query(view) => {
                if let (_, Some(query)) = split_query(view.target) {
                    query::values(query, name).for_each(|value| each(&value));
                }
            }
            Self::Query { .. } => {}
        }
    }

    fn holds_query(&self, view: RequestView<'_>) -> bool {
        matches!(self, Self::Query { any, .. } if *any || view.websocket)
    }
}

/// The comma-separated values of a header line. Envoy joins some headers with commas (RFC 9110, section 5.3), and a token
/// has no comma.
fn values(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',')
}

/// The line without the values that have the prefix. Borrowed if there are none.
fn without_prefix<'a>(line: &'a [u8], prefix: Option<&str>) -> Cow<'a, [u8]> {
    let stays = |value: &&[u8]| after_prefix(value, prefix).is_none();
    if values(line).all(|value| stays(&value)) {
        return Cow::Borrowed(line);
    }
    let kept: Vec<_> = values(line).filter(stays).collect();
    Cow::Owned(kept.join(&b',').trim_ascii().to_vec())
}

/// The rest of a header's value after the prefix, trimmed. `None` without the prefix.
fn after_prefix<'a>(value: &'a [u8], prefix: Option<&str>) -> Option<&'a [u8]> {
    let Some(prefix) = prefix else { return Some(value.trim_ascii()) };
    let (start, rest) = value.trim_ascii_start().split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::token::tests::{NOW_MS, token_made_at};
    use proptest::prelude::*;

    fn view<'a>(headers: &'a Headers, target: &'a str) -> RequestView<'a> {
        RequestView { headers, target: target.as_bytes(), websocket: false }
    }

    fn cookie() -> Source {
        Source::Cookie("session-cookie".into())
    }

    fn authorization() -> Source {
        Source::Header { name: "authorization".into(), prefix: Some("Bearer ".into()) }
    }

    fn query(any: bool) -> Source {
        Source::Query { name: "token".into(), any }
    }

    /// A token by its number, from 1.
    fn token(number: u64) -> String {
        token_made_at(NOW_MS + 1 - number)
    }

    fn one() -> String {
        token(1)
    }

    fn two() -> String {
        token(2)
    }

    fn found(sources: &[Source], headers: &[(&str, &str)], target: &str) -> String {
        let headers = Headers::from_pairs(headers);
        match find(sources, view(&headers, target), &|| NOW_MS) {
            Found::Nothing => "nothing".into(),
            Found::TooMany => "too many".into(),
            Found::Tokens(mut candidates, source) => {
                let mut ages = Vec::new();
                candidates.look_up(|_, token| {
                    ages.push(NOW_MS - token.created_ms().unwrap());
                    None
                });
                let numbers = ages.iter().map(|age| ["one", "two", "three", "four"][usize::try_from(*age).unwrap()]);
                format!("{} in {source}", numbers.collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[test]
    fn the_first_source_with_a_token_decides() {
        let sources = [cookie(), authorization()];
        let both =
            [("authorization", &*format!("bearer {}", two())), ("cookie", &*format!("session-cookie={}", one()))];
        assert_eq!(found(&sources, &both, "/"), "one in cookie:session-cookie");
        let junk = [("authorization", &*format!("Bearer {}", two())), ("cookie", "session-cookie=junk")];
        assert_eq!(found(&sources, &junk, "/"), "two in header:authorization");
        assert_eq!(found(&sources, &[], "/"), "nothing");
    }

    #[test]
    fn all_different_tokens_of_a_source_are_found_and_no_later_source_is_read() {
        let sources = [cookie(), authorization()];
        let (one, two) = (one(), two());
        let lines = [
            ("cookie", &*format!("session-cookie={one}")),
            ("cookie", &*format!("a=b; session-cookie=\"{two}\"")),
            ("authorization", &*format!("Bearer {one}")),
        ];
        assert_eq!(found(&sources, &lines, "/"), "one, two in cookie:session-cookie");
        let same = [("cookie", &*format!("session-cookie={one}; session-cookie=junk; session-cookie=\"{one}\""))];
        assert_eq!(found(&sources, &same, "/"), "one in cookie:session-cookie");
    }

    #[test]
    fn more_than_four_different_tokens_of_a_source_are_too_many_and_no_later_source_is_read() {
        let sources = [cookie(), authorization()];
        let cookies = |numbers: &[u64]| {
            let pairs = numbers.iter().map(|number| format!("session-cookie={}", token(*number)));
            let bearer = format!("Bearer {}", one());
            let lines = [("cookie", &*pairs.collect::<Vec<_>>().join("; ")), ("authorization", &bearer)];
            found(&sources, &lines, "/")
        };
        assert_eq!(cookies(&[3, 1, 2, 4, 1, 4]), "three, one, two, four in cookie:session-cookie");
        assert_eq!(cookies(&[1, 2, 3, 4, 5]), "too many");
        assert_eq!(cookies(&[1, 2, 3, 4, 5, 5, 1]), "too many");
    }

    #[test]
    fn a_header_without_its_prefix_has_no_token() {
        let one = one();
        for wrong in [one.clone(), format!("Basic {one}"), format!("Bearer{one}"), "Bearer".into()] {
            assert_eq!(found(&[authorization()], &[("authorization", &wrong)], "/"), "nothing", "{wrong}");
        }
        assert_eq!(
            found(&[authorization()], &[("authorization", &format!("BEARER  {one} "))], "/"),
            "one in header:authorization"
        );
        let bare = Source::Header { name: "x-token".into(), prefix: None };
        assert_eq!(found(&[bare], &[("x-token", &one)], "/"), "one in header:x-token");
    }

    #[test]
    fn header_lines_joined_with_commas_are_read_as_several() {
        let (one, two) = (one(), two());
        let joined = |value: &str| found(&[authorization(), query(true)], &[("authorization", value)], "/");
        assert_eq!(joined(&format!("Basic dTpw,Bearer {one}")), "one in header:authorization");
        assert_eq!(joined(&format!("Bearer {one}, bearer {one},")), "one in header:authorization");
        assert_eq!(joined(&format!("Bearer {one},Bearer {two}")), "one, two in header:authorization");
        assert_eq!(joined(&format!("Bearer junk,{one}")), "nothing");
        let line = format!("Digest a=\"1\", b=2,Bearer {one}");
        assert_eq!(
            removed(&[authorization()], &[("authorization", &line)], "/"),
            [remove("authorization"), add("authorization", "Digest a=\"1\", b=2")]
        );
        let bare = Source::Header { name: "x-token".into(), prefix: None };
        assert_eq!(removed(&[bare], &[("x-token", "a,b")], "/"), [remove("x-token")]);
    }

    #[test]
    fn a_query_parameter_has_a_token_on_websockets_or_with_any() {
        let target = format!("/ws?a=1&token={}", one());
        assert_eq!(found(&[query(false)], &[], &target), "nothing");
        assert_eq!(found(&[query(true)], &[], &target), "one in query:token");
        let headers = Headers::default();
        let upgrade = RequestView { websocket: true, ..view(&headers, &target) };
        assert!(matches!(find(&[query(false)], upgrade, &|| NOW_MS), Found::Tokens(..)));
    }

    fn removed(sources: &[Source], headers: &[(&str, &str)], target: &str) -> Vec<HeaderChange> {
        removals(sources, view(&Headers::from_pairs(headers), target))
    }

    fn remove(name: &str) -> HeaderChange {
        HeaderChange::Remove(name.to_owned().into())
    }

    fn add(name: &str, value: &str) -> HeaderChange {
        HeaderChange::Add(name.to_owned().into(), value.to_owned().into())
    }

    #[test]
    fn cookies_of_other_names_stay_unchanged_line_by_line() {
        let lines = [("cookie", "a=1; session-cookie=x;  b=\"2\""), ("cookie", "c=3"), ("cookie", "session-cookie=y")];
        let changes = removed(&[cookie()], &lines, "/");
        assert_eq!(changes.first(), Some(&remove("cookie")));
        assert_eq!(changes.get(2..), Some(&[add("cookie", "c=3")][..]));
        assert_eq!(removed(&[cookie()], &[("cookie", "a=1; session-cookie2=x")], "/"), []);
    }

    #[test]
    fn header_values_with_the_prefix_are_removed_and_others_stay() {
        let lines = [("authorization", "Bearer junk"), ("authorization", "Basic dTpw")];
        assert_eq!(
            removed(&[authorization()], &lines, "/"),
            [remove("authorization"), add("authorization", "Basic dTpw")]
        );
        assert_eq!(removed(&[authorization()], &[("authorization", "Basic dTpw")], "/"), []);
    }

    #[test]
    fn query_parameters_are_removed_where_they_can_have_a_token() {
        let path = |target: &str| HeaderChange::Replace(":path".into(), target.to_owned().into());
        assert_eq!(removed(&[query(true)], &[], "/a?x=1&token=t&y"), [path("/a?x=1&y")]);
        assert_eq!(removed(&[query(true)], &[], "/a?%74oken=t"), [path("/a")]);
        assert_eq!(removed(&[query(false)], &[], "/a?token=t"), []);
        assert_eq!(removed(&[query(true)], &[], "/a?tokens=t"), []);
    }

    proptest! {
        #[test]
        fn no_token_is_found_after_removal(
            cookies in proptest::collection::vec("((a|session-cookie|session-cookie2)[= ;]{0,2}(b|\"?T\"?)[; ]{0,2}){0,4}", 0..3),
            query_string in "((token|%74oken|x)(=T)?&?){0,4}",
        ) {
            let token = one();
            let headers: Vec<_> = cookies.iter().map(|line| ("cookie", line.replace('T', &token))).collect();
            let headers = Headers::from_pairs(&headers);
            let target = format!("/?{}", query_string.replace('T', &token));
            let sources = [cookie(), query(true)];
            let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = headers.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            pairs.push((b":path".to_vec(), target.clone().into_bytes()));
            for change in removals(&sources, view(&headers, &target)) {
                change.apply(&mut pairs);
            }
            let after = Headers::from_pairs(&pairs);
            let target = after.first(":path").unwrap();
            let view = RequestView { headers: &after, target, websocket: false };
            prop_assert!(matches!(find(&sources, view, &|| NOW_MS), Found::Nothing));
            prop_assert_eq!(removals(&sources, view), []);
        }
    }
}

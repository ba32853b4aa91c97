//! The session cookie: writes it, and reads the tokens of a request.

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite};

use crate::token::Token;

/// The same as `token_from` in envoy.yaml.
pub const NAME: &str = "session-cookie";

/// The same limit as in the filter at a logout.
const MAX_TOKENS: usize = 8;

/// The value of `Set-Cookie`. Its attributes:
///
/// - `HttpOnly`: scripts cannot read it.
/// - `Secure`: browsers send it over TLS only, and to `http://localhost`.
/// - `SameSite=Lax`: from pages of other sites it is sent with links only.
/// - no `Domain`: it is sent to this host only.
/// - no `Max-Age`: the browser deletes it when it closes; rest-sessions decides when the session expires.
pub fn set(token: &Token) -> Option<HeaderValue> {
    let cookie = Cookie::build((NAME, token.as_str())).path("/").http_only(true).secure(true).same_site(SameSite::Lax);
    let mut value = HeaderValue::from_str(&cookie.build().to_string()).ok()?;
    // Hides it in `Debug` output.
    value.set_sensitive(true);
    Some(value)
}

/// The valid tokens of a request, without duplicates, at most [`MAX_TOKENS`].
pub fn tokens(headers: &HeaderMap) -> Vec<Token> {
    let mut found = Vec::new();
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    for cookie in texts.flat_map(Cookie::split_parse).filter_map(Result::ok) {
        if cookie.name() != NAME || found.len() == MAX_TOKENS {
            continue;
        }
        found.extend(Token::parse(cookie.value_trimmed()).filter(|token| !found.contains(token)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(letter: char) -> Token {
        Token::parse(&letter.to_string().repeat(64)).unwrap()
    }

    #[test]
    fn it_is_set_for_this_host_only_and_hidden_from_scripts() {
        let value = set(&token('a')).unwrap();
        let (pair, attributes) = value.to_str().unwrap().split_once("; ").unwrap();
        assert_eq!(pair, format!("session-cookie={}", "a".repeat(64)));
        let mut attributes: Vec<_> = attributes.split("; ").collect();
        attributes.sort_unstable();
        assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
        assert_eq!(format!("{value:?}"), "Sensitive");
    }

    #[test]
    fn tokens_are_read_from_every_cookie_header_without_duplicates() {
        let mut headers = HeaderMap::new();
        let (a, b) = (token('a'), token('b'));
        let first =
            format!("theme=dark; session-cookie={}; session-cookie=\"{}\"; session-cookie=x", a.as_str(), b.as_str());
        headers.append("cookie", first.parse().unwrap());
        headers.append(
            "cookie",
            format!("session-cookie={}; other-session-cookie={}", a.as_str(), token('c').as_str()).parse().unwrap(),
        );
        assert_eq!(tokens(&headers), [a, b]);
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let pairs: Vec<String> =
            ('a'..='z').map(|letter| format!("session-cookie={}", token(letter).as_str())).collect();
        let mut headers = HeaderMap::new();
        headers.append("cookie", pairs.join("; ").parse().unwrap());
        assert_eq!(tokens(&headers).len(), MAX_TOKENS);
    }
}

//! The session cookie: how it is set, and which tokens a request bears.

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite};

use crate::token::Token;

/// As in `token_from` of envoy.yaml.
pub const NAME: &str = "session-cookie";

/// As many as the filter ends at a logout; more is nobody's browser.
const MOST: usize = 8;

/// `HttpOnly`: no script reads it. `Secure`: it travels encrypted; browsers take `http://localhost` for safe as well.
/// `SameSite=Lax`: pages of other sites can link here, and nothing more. Without `Domain` it stays with this host, and
/// without `Max-Age` it goes with the browser, since rest-sessions decides how long a session lives.
pub fn set(token: &Token) -> Option<HeaderValue> {
    let cookie = Cookie::build((NAME, token.as_str())).path("/").http_only(true).secure(true).same_site(SameSite::Lax);
    let mut value = HeaderValue::from_str(&cookie.build().to_string()).ok()?;
    // Kept out of debug output.
    value.set_sensitive(true);
    Some(value)
}

/// The well-formed tokens of a request, each once.
pub fn tokens(headers: &HeaderMap) -> Vec<Token> {
    let mut found = Vec::new();
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    for cookie in texts.flat_map(Cookie::split_parse).filter_map(Result::ok) {
        if cookie.name() != NAME || found.len() == MOST {
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
    fn it_is_set_for_this_host_alone_and_for_no_script() {
        let value = set(&token('a')).unwrap();
        let (pair, attributes) = value.to_str().unwrap().split_once("; ").unwrap();
        assert_eq!(pair, format!("session-cookie={}", "a".repeat(64)));
        let mut attributes: Vec<_> = attributes.split("; ").collect();
        attributes.sort_unstable();
        assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
        assert_eq!(format!("{value:?}"), "Sensitive");
    }

    #[test]
    fn a_requests_tokens_are_found_in_every_cookie_header_each_once() {
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
    fn a_flood_of_tokens_is_cut_short() {
        let pairs: Vec<String> =
            ('a'..='z').map(|letter| format!("session-cookie={}", token(letter).as_str())).collect();
        let mut headers = HeaderMap::new();
        headers.append("cookie", pairs.join("; ").parse().unwrap());
        assert_eq!(tokens(&headers).len(), MOST);
    }
}

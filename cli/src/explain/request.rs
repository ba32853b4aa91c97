//! The request that is asked about, as Envoy would hand it to the filter.

use rest_sessions_core::http::headers::Headers;

/// A request as it is told.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub scheme: String,
    pub authority: String,
    /// Path and query, as sent; empty for CONNECT.
    pub target: String,
    /// Lines as sent; names in lower case.
    pub headers: Vec<(String, String)>,
}

/// Stands for a token in what is asked, so that nobody has to show one.
pub const PLACEHOLDER: &str = "{token}";

impl Request {
    /// Reads `GET https://shop.example.com/admin?x=1` and `name: value` lines. `{token}` in them stands for a token that
    /// is made now.
    ///
    /// # Errors
    ///
    /// What is wrong with them, without repeating any of it.
    pub fn parse(request: &str, lines: &[String], now_ms: u64) -> Result<Self, String> {
        let expected = "expected a method and a URL, such as 'GET https://shop.example.com/account'";
        let token = made_up(now_ms);
        let with_token = |text: &str| text.replace(PLACEHOLDER, &token);
        let (method, url) = request.split_once(' ').ok_or_else(|| format!("--request has no space; {expected}"))?;
        let mut headers = Vec::new();
        for (place, line) in lines.iter().enumerate() {
            let wrong =
                || format!("--header number {} has no name and colon; expected 'name: value'", place.saturating_add(1));
            // The colon of a pseudo-header is not the one that ends its name.
            let (name, value) = line.split_once(':').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(wrong)?;
            headers.push((name.trim().to_ascii_lowercase(), with_token(value.trim())));
        }
        let mut parsed = Self {
            method: method.to_owned(),
            scheme: "https".to_owned(),
            authority: String::new(),
            target: with_token(url),
            headers,
        };
        if let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?', '#'])) {
            let (authority, target) =
                rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or((rest, ""));
            parsed.scheme = scheme.to_ascii_lowercase();
            parsed.authority = authority.to_owned();
            parsed.target = with_token(target);
            if !parsed.target.starts_with('/') {
                parsed.target.insert(0, '/');
            }
        } else if method == "CONNECT" {
            parsed.authority = url.to_owned();
            parsed.target = String::new();
        } else if !(url.starts_with('/') || (method == "OPTIONS" && url == "*")) {
            return Err(format!("--request has a URL that is neither absolute nor a path; {expected}"));
        }
        if let Some(place) = parsed.headers.iter().position(|(name, _)| name == "host") {
            parsed.authority = parsed.headers.remove(place).1;
        }
        Ok(parsed)
    }

    /// The header map that the filter sees.
    #[must_use]
    pub fn headers(&self) -> Headers {
        Headers::from_pairs(&self.pairs())
    }

    fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs =
            vec![(":authority".to_owned(), self.authority.clone()), (":method".to_owned(), self.method.clone())];
        if !self.target.is_empty() {
            pairs.push((":path".to_owned(), self.target.clone()));
        }
        pairs.push((":scheme".to_owned(), self.scheme.clone()));
        pairs.extend(self.headers.iter().cloned());
        if !self.names("x-forwarded-proto") {
            // Envoy adds it to every request.
            pairs.push(("x-forwarded-proto".to_owned(), self.scheme.clone()));
        }
        pairs
    }

    fn names(&self, name: &str) -> bool {
        self.headers.iter().any(|(found, _)| found == name)
    }

    /// Whether nothing follows the headers.
    #[must_use]
    pub fn has_no_body(&self) -> bool {
        let empty = |(name, value): &(String, String)| name != "content-length" || value == "0";
        self.headers.iter().all(empty) && !self.names("transfer-encoding")
    }

    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == "content-type" && value.starts_with("application/grpc"))
    }
}

/// A token as rest-sessions makes them, but known to everybody.
fn made_up(now_ms: u64) -> String {
    let mut digits = Vec::new();
    let mut left = now_ms;
    for _ in 0..8 {
        digits.extend(u32::try_from(left % 36).ok().and_then(|digit| char::from_digit(digit, 36)));
        left /= 36;
    }
    format!("{:X<55}Z{}", "MadeUpToExplain", digits.iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rest_sessions_core::session::token::Token;

    const NOW_MS: u64 = 1_760_000_000_000;

    fn parse(request: &str, lines: &[&str]) -> Result<Request, String> {
        Request::parse(request, &lines.iter().map(ToString::to_string).collect::<Vec<_>>(), NOW_MS)
    }

    #[test]
    fn a_request_is_a_method_a_url_and_lines() {
        for (text, scheme, authority, target) in [
            ("GET https://shop.example.com/a/../b?x=1#y", "https", "shop.example.com", "/a/../b?x=1#y"),
            ("GET HTTP://a:80", "http", "a:80", "/"),
            ("GET http://a?x", "http", "a", "/?x"),
            ("GET /a?u=http://b/", "https", "", "/a?u=http://b/"),
            ("GET //a b", "https", "", "//a b"),
            ("OPTIONS *", "https", "", "*"),
            ("CONNECT a:443", "https", "a:443", ""),
        ] {
            let found = parse(text, &[]).unwrap();
            assert_eq!(
                (found.scheme.as_str(), found.authority.as_str(), found.target.as_str()),
                (scheme, authority, target),
                "{text}"
            );
        }
        let found = parse("GET https://a/", &["Host: b", "Cookie:  a=1; b=2 "]).unwrap();
        assert_eq!((found.authority.as_str(), found.headers), ("b", vec![("cookie".into(), "a=1; b=2".into())]));
    }

    #[test]
    fn what_is_none_is_refused_and_not_repeated() {
        for (text, lines) in
            [("GET", vec![]), ("GET secret", vec![]), ("GET /", vec!["secret"]), ("GET /", vec![": secret"])]
        {
            let why = parse(text, &lines).unwrap_err();
            assert!(why.contains("expected") && !why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn the_placeholder_is_a_token_made_now() {
        let found = parse("GET https://a/?t={token}", &["cookie: s={token}"]).unwrap();
        let token = found.headers[0].1.strip_prefix("s=").unwrap();
        assert_eq!(found.target, format!("/?t={token}"));
        assert_eq!(Token::parse(token.as_bytes(), &|| NOW_MS).unwrap().created_ms(), Some(NOW_MS));
    }
}

//! The request to explain, parsed from the arguments, and its header map as Envoy passes it to the filter.

use rest_sessions_core::http::headers::Headers;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub scheme: String,
    pub authority: String,
    /// Path and query, as sent; empty for CONNECT.
    pub target: String,
    /// In order; names in lower case.
    pub headers: Vec<(String, String)>,
}

/// Stands for a token in the arguments, so that no real token is needed.
pub const TOKEN_PLACEHOLDER: &str = "{token}";

impl Request {
    /// Parses `GET https://shop.example.com/admin?x=1` and `name: value` lines. `{token}` in them is replaced by a token
    /// created at `now_ms`.
    ///
    /// # Errors
    ///
    /// The mistake, without the arguments, which may contain a token.
    pub fn parse(request: &str, lines: &[String], now_ms: u64) -> Result<Self, String> {
        let expected = "expected a method and a URL, such as 'GET https://shop.example.com/account'";
        let token = placeholder_token(now_ms);
        let with_token = |text: &str| text.replace(TOKEN_PLACEHOLDER, &token);
        let (method, url) = request.split_once(' ').ok_or_else(|| format!("--request has no space; {expected}"))?;
        let mut headers = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let wrong =
                || format!("--header number {} has no name and colon; expected 'name: value'", index.saturating_add(1));
            // A pseudo-header has an empty name before its first colon.
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
        if let Some(index) = parsed.headers.iter().position(|(name, _)| name == "host") {
            parsed.authority = parsed.headers.remove(index).1;
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
        if !self.has_header("x-forwarded-proto") {
            // Envoy adds this header to every request.
            pairs.push(("x-forwarded-proto".to_owned(), self.scheme.clone()));
        }
        pairs
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(found, _)| found == name)
    }

    /// Whether the request ends with its headers.
    #[must_use]
    pub fn has_no_body(&self) -> bool {
        let no_length = |(name, value): &(String, String)| name != "content-length" || value == "0";
        self.headers.iter().all(no_length) && !self.has_header("transfer-encoding")
    }

    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == "content-type" && value.starts_with("application/grpc"))
    }
}

/// A token in the form of rest-sessions with the given creation time and a public text, so it is no secret.
fn placeholder_token(now_ms: u64) -> String {
    let mut digits = Vec::new();
    let mut rest = now_ms;
    for _ in 0..8 {
        digits.extend(u32::try_from(rest % 36).ok().and_then(|digit| char::from_digit(digit, 36)));
        rest /= 36;
    }
    format!("{:X<55}Z{}", "PlaceholderToken", digits.iter().rev().collect::<String>())
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
    fn a_request_is_a_method_a_url_and_header_lines() {
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
    fn invalid_arguments_are_refused_without_being_repeated() {
        for (text, lines) in
            [("GET", vec![]), ("GET secret", vec![]), ("GET /", vec!["secret"]), ("GET /", vec![": secret"])]
        {
            let why = parse(text, &lines).unwrap_err();
            assert!(why.contains("expected") && !why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn the_placeholder_is_a_token_created_now() {
        let found = parse("GET https://a/?t={token}", &["cookie: s={token}"]).unwrap();
        let token = found.headers[0].1.strip_prefix("s=").unwrap();
        assert_eq!(found.target, format!("/?t={token}"));
        assert_eq!(Token::parse(token.as_bytes(), &|| NOW_MS).unwrap().created_ms(), Some(NOW_MS));
    }
}

//! The redirect to the login page, and the return URL that it carries.

use crate::http::authority::{Authority, Host};
use crate::http::path::split_query;
use crate::http::percent;

/// The maximum size of `location`, in bytes (RFC 9110, section 4.1 recommends support of 8000). A longer one carries a
/// shorter return URL: without the query, or without the path.
const MAX_LOCATION: usize = 8_000;

/// A login page: a URL, or a path on the request's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The text before `{url}`, or all of it.
    before: String,
    /// The text after `{url}`, if there is one.
    after: Option<String>,
}

impl Login {
    /// Parses `https://login.example.com/?next={url}` or `/login?next={url}`. `{url}` is optional, and allowed once in
    /// the path, query or fragment: a request cannot change the host of the login page. `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // No other brace is allowed.
        let (before, after) = match text.split_once('{') {
            Some((before, rest)) => (before, Some(rest.strip_prefix("url}")?)),
            None => (text, None),
        };
        let visible = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}\\\"<>^`|".contains(&byte));
        let login = Self { before: before.to_owned(), after: after.map(ToOwned::to_owned) };
        (visible(before) && after.is_none_or(visible) && login.page().is_some()).then_some(login)
    }

    /// Whether the login page gets the return URL, by `{url}`.
    #[must_use]
    pub fn has_return_url(&self) -> bool {
        self.after.is_some()
    }

    /// The page's host and path. The host is `None` if it is the request's.
    #[must_use]
    pub fn page(&self) -> Option<(Option<Host>, &str)> {
        let (host, rest) = match self.before.strip_prefix("https://").or(self.before.strip_prefix("http://")) {
            Some(rest) => {
                let (authority, rest) = rest.split_at_checked(rest.find('/')?)?;
                (Some(Authority::parse(authority.as_bytes())?.host), rest)
            }
            None => (None, self.before.as_str()),
        };
        // `//` starts an authority (RFC 3986, section 4.2).
        let path = rest.split(['?', '#']).next().filter(|path| path.starts_with('/') && !path.starts_with("//"))?;
        Some((host, path))
    }

    /// The value of `location` for a request of this origin and target (path and query).
    #[must_use]
    pub fn location(&self, origin: &str, target: &[u8]) -> String {
        let Some(after) = &self.after else { return self.before.clone() };
        let (path, _) = split_query(target);
        let mut location = String::new();
        for target in [target, path, b"/"] {
            location.clone_from(&self.before);
            percent::push_component(origin.as_bytes(), &mut location);
            percent::push_component(target, &mut location);
            location.push_str(after);
            if location.len() <= MAX_LOCATION {
                break;
            }
        }
        location
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHOP: &str = "https://shop.example.com";

    #[test]
    fn a_login_page_is_a_url_or_a_path_of_the_same_host() {
        let host = |name: &str| Some(Host::parse(name.as_bytes()).unwrap());
        for (text, page) in [
            ("https://login.example.com/?next={url}", (host("login.example.com"), "/")),
            ("http://login.example.com:8080/in", (host("login.example.com"), "/in")),
            ("https://[::1]/a#{url}", (host("[::1]"), "/a")),
            ("/login?next={url}&x=1", (None, "/login")),
            ("/login/{url}", (None, "/login/")),
            ("/", (None, "/")),
        ] {
            let login = Login::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(login.page(), Some(page), "{text}");
        }
    }

    #[test]
    fn a_login_page_that_could_lead_to_another_host_is_refused() {
        for text in [
            "",
            "login",
            "{url}",
            "//login.example.com/",
            "/\\login.example.com/",
            "https://login.example.com",
            "https://{url}/",
            "https://a{url}/",
            "https://u:p@login.example.com/",
            "https:///login",
            "ftp://login.example.com/",
            "javascript:alert(1)",
            "/login?next={url}&again={url}",
            "/login?{}",
            "/log in",
            "/l\u{f6}gin",
            "/login\r\nx: y",
            "https://login.example.com//a/",
        ] {
            assert_eq!(Login::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_return_url_is_encoded_as_one_value() {
        let login = Login::parse("https://login.example.com/?next={url}&lang=en").unwrap();
        assert_eq!(
            login.location(SHOP, b"/a%20b/?q=1&r=%26#x"),
            "https://login.example.com/?next=https%3A%2F%2Fshop.example.com%2Fa%2520b%2F%3Fq%3D1%26r%3D%2526%23x&lang=en"
        );
        assert_eq!(Login::parse("/login").unwrap().location(SHOP, b"/account?x=1"), "/login");
    }

    #[test]
    fn a_return_url_that_is_too_long_is_shortened() {
        let login = Login::parse("/login?next={url}").unwrap();
        let path = format!("/{}", "a".repeat(1000));
        let long_query = format!("{path}?{}", "b".repeat(8_000));
        assert!(login.location(SHOP, long_query.as_bytes()).ends_with(&"a".repeat(1000)));
        let long_path = format!("/{}", "a".repeat(8_000));
        assert_eq!(login.location(SHOP, long_path.as_bytes()), "/login?next=https%3A%2F%2Fshop.example.com%2F");
    }

    proptest! {
        #[test]
        fn no_target_changes_the_login_page(target in any::<Vec<u8>>()) {
            let login = Login::parse("https://login.example.com/?next={url}&lang=en").unwrap();
            let location = login.location(SHOP, &target);
            let value = location.strip_prefix("https://login.example.com/?next=").unwrap();
            let value = value.strip_suffix("&lang=en").unwrap();
            prop_assert!(value.bytes().all(|byte| percent::is_unreserved(byte) || byte == b'%'));
            prop_assert!(location.len() <= MAX_LOCATION);
        }
    }
}

//! Whether a request is a navigation: only a browser that loads a page can follow a redirect to a login page.

use super::headers::Headers;

/// Whether a browser loads a page with this request.
///
/// - The method is GET or HEAD.
/// - `sec-fetch-mode` is `navigate` (Fetch Metadata, section 2.2).
/// - Without `sec-fetch-mode`: `accept` lists `text/html`, and there is no `x-requested-with`, which scripts set.
#[must_use]
pub fn is_navigation(method: &[u8], headers: &Headers) -> bool {
    if !matches!(method, b"GET" | b"HEAD") {
        return false;
    }
    match headers.first("sec-fetch-mode") {
        Some(_) => headers.single("sec-fetch-mode") == Some(b"navigate"),
        None => headers.all("accept").any(names_html) && headers.first("x-requested-with").is_none(),
    }
}

fn names_html(accept: &[u8]) -> bool {
    accept.split(|byte| *byte == b',').any(|range| {
        let kind = range.split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/html")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn navigation(method: &str, headers: &[(&str, &str)]) -> bool {
        is_navigation(method.as_bytes(), &Headers::from_pairs(headers))
    }

    #[test]
    fn sec_fetch_mode_decides_where_a_browser_sends_it() {
        let html = ("accept", "text/html");
        assert!(navigation("GET", &[("sec-fetch-mode", "navigate")]));
        assert!(navigation("HEAD", &[("sec-fetch-mode", "navigate")]));
        for mode in ["cors", "no-cors", "same-origin", "websocket", "", "Navigate", "navigate, cors"] {
            assert!(!navigation("GET", &[("sec-fetch-mode", mode), html]), "{mode}");
        }
        assert!(!navigation("GET", &[("sec-fetch-mode", "navigate"), ("sec-fetch-mode", "navigate")]));
    }

    #[test]
    fn without_sec_fetch_mode_a_navigation_accepts_html_and_is_not_from_a_script() {
        for (accept, wanted) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("application/json, Text/HTML;level=1", true),
            ("*/*", false),
            ("application/json", false),
            ("text/html-x", false),
            ("", false),
        ] {
            assert_eq!(navigation("GET", &[("accept", accept)]), wanted, "{accept}");
        }
        assert!(!navigation("GET", &[]));
        assert!(!navigation("GET", &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")]));
        assert!(navigation("GET", &[("accept", "application/json"), ("accept", "text/html")]));
    }

    #[test]
    fn only_get_and_head_are_navigations() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
            assert!(!navigation(method, &[("sec-fetch-mode", "navigate"), ("accept", "text/html")]), "{method}");
        }
    }
}

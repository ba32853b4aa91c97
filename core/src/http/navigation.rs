//! What a browser loads a page for: a navigation, which alone can follow a redirect to a login page, or a prefetch.

use super::headers::Headers;

/// Whether a browser loads a page with this request.
///
/// - The method is GET or HEAD.
/// - `sec-fetch-mode` is `navigate` (Fetch Metadata, section 2.2).
/// - Without `sec-fetch-mode`: `accept` lists `text/html` with a weight above 0 (RFC 9110, section 12.4.2), and
///   `x-requested-with` is not `XMLHttpRequest`, the value that scripts set. Android WebViews send the name of their app
///   in it.
#[must_use]
pub fn is_navigation(method: &[u8], headers: &Headers) -> bool {
    if !matches!(method, b"GET" | b"HEAD") {
        return false;
    }
    match headers.first("sec-fetch-mode") {
        Some(_) => headers.single("sec-fetch-mode") == Some(b"navigate"),
        None => headers.all("accept").any(accepts_html) && !headers.all("x-requested-with").any(is_script),
    }
}

/// Whether a browser loads the page before the user asks for it. The value is `prefetch`, perhaps with parameters such as
/// `;prerender` (Fetch Standard, "`Sec-Purpose` header"). Browsers without `sec-purpose` say so in `purpose` or `x-moz`;
/// `preview` in `x-purpose` is Safari's thumbnail of a page.
#[must_use]
#[inline(never)] // keeps the code of requests other than logouts small
pub fn is_prefetch(headers: &Headers) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"].iter().flat_map(|name| headers.all(name)).any(|purposes| {
        purposes.split(|byte| matches!(byte, b',' | b';')).any(|purpose| {
            let purpose = purpose.trim_ascii();
            [&b"prefetch"[..], b"prerender", b"preview"].iter().any(|name| purpose.eq_ignore_ascii_case(name))
        })
    })
}

fn is_script(requested_with: &[u8]) -> bool {
    requested_with.trim_ascii().eq_ignore_ascii_case(b"XMLHttpRequest")
}

fn accepts_html(accept: &[u8]) -> bool {
    accept.split(|byte| *byte == b',').any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"))
            && parts.all(|part| !is_zero_weight(part))
    })
}

/// Whether a parameter is `q=0`, `q=0.` or `q=0.000`.
fn is_zero_weight(parameter: &[u8]) -> bool {
    let weight = parameter.strip_prefix(b"q=").or(parameter.strip_prefix(b"Q="));
    weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
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
            ("text/html;q=0.1, */*", true),
            ("text/html;q=1", true),
            ("text/html;q=0", false),
            ("text/html; Q=0.000", false),
            ("text/html;level=1;q=0.0, application/json", false),
            ("text/html;q=0, text/html;level=1", true),
            ("application/json;q=0, text/html", true),
        ] {
            assert_eq!(navigation("GET", &[("accept", accept)]), wanted, "{accept}");
        }
        assert!(!navigation("GET", &[]));
        assert!(navigation("GET", &[("accept", "application/json"), ("accept", "text/html")]));
    }

    #[test]
    fn x_requested_with_marks_a_script_but_an_android_webview_names_its_app_in_it() {
        for (value, wanted) in [
            ("XMLHttpRequest", false),
            ("xmlhttprequest", false),
            (" XMLHttpRequest ", false),
            ("com.example.app", true),
            ("com.android.browser", true),
            ("", true),
        ] {
            let headers = [("accept", "text/html"), ("x-requested-with", value)];
            assert_eq!(navigation("GET", &headers), wanted, "{value:?}");
        }
        let two = [("x-requested-with", "com.example.app"), ("x-requested-with", "XMLHttpRequest")];
        assert!(!navigation("GET", &[&two[..], &[("accept", "text/html")]].concat()));
        let webview = [("sec-fetch-mode", "navigate"), ("x-requested-with", "com.example.app")];
        assert!(navigation("GET", &webview));
    }

    #[test]
    fn browsers_say_that_they_prefetch() {
        for (name, value, expected) in [
            ("sec-purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("sec-purpose", "prefetch; prerender", true),
            ("sec-purpose", "prefetch;anonymous-client-ip", true),
            ("sec-purpose", "Prefetch", true),
            ("sec-purpose", "prerender", true),
            ("purpose", "prefetch", true),
            ("purpose", "preview", true),
            ("x-purpose", "preview", true),
            ("x-moz", "prefetch", true),
            ("x-moz", "other, prefetch", true),
            ("sec-purpose", "", false),
            ("sec-purpose", "navigate", false),
            ("sec-purpose", "prefetched", false),
            ("x-other", "prefetch", false),
        ] {
            assert_eq!(is_prefetch(&Headers::from_pairs(&[(name, value)])), expected, "{name}: {value}");
        }
        assert!(is_prefetch(&Headers::from_pairs(&[("sec-purpose", "x"), ("sec-purpose", "prefetch")])));
        assert!(!is_prefetch(&Headers::default()));
    }

    #[test]
    fn only_get_and_head_are_navigations() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
            assert!(!navigation(method, &[("sec-fetch-mode", "navigate"), ("accept", "text/html")]), "{method}");
        }
    }
}

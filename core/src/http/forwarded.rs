//! Headers in which a proxy says how its client sent a request, with values that no proxy sends.
//!
//! Some servers put the scheme, host and port of these headers before the path, unchecked, and take the path from the URL
//! that results. `http://shop:80/admin?/static/x` is what they make of `/static/x` and `x-forwarded-host: shop:80/admin?`
//! (React Router on Express before 7.4.1, CVE-2025-31137), or `x-forwarded-port: 80/admin?` (Astro on Node before 5.15.5,
//! CVE-2025-64525): they serve `/admin`.

use super::headers::Headers;

/// The names of the headers.
const NAMES: [&str; 3] = ["x-forwarded-proto", "x-forwarded-port", "x-forwarded-host"];

/// Pushes the names of headers with a malformed value. Other spellings are not looked for: the servers that do this know
/// none.
pub fn push_malformed(headers: &Headers, found: &mut Vec<&[u8]>) {
    for name in NAMES {
        if headers.all(name).any(|value| !is_well_formed(name, value)) {
            found.push(name.as_bytes());
        }
    }
}

/// A host has more characters than a scheme. What it has and a port has not moves no path.
fn is_well_formed(name: &str, value: &[u8]) -> bool {
    let is_scheme = name.ends_with('o');
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b',' | b' ' | b'\t');
    value.iter().all(|byte| is_allowed(*byte) || (!is_scheme && b".-_:[]".contains(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_move_the_path_are_malformed_and_those_of_proxies_are_not() {
        let malformed = |headers: &[(&str, &str)]| {
            let (headers, mut found) = (Headers::from_pairs(headers), Vec::new());
            push_malformed(&headers, &mut found);
            found.len()
        };
        let is_malformed = |name, value| malformed(&[(name, value)]) == 1;
        for (name, value) in [
            ("x-forwarded-host", "shop:80/admin?"),
            ("x-forwarded-host", "shop?"),
            ("x-forwarded-host", "shop#"),
            ("x-forwarded-host", "shop\\admin"),
            ("x-forwarded-host", "user@shop"),
            ("x-forwarded-port", "80/admin?"),
            ("x-forwarded-proto", "http://shop/admin?"),
            ("x-forwarded-proto", "http:admin"),
            ("x-forwarded-proto", "https, x:admin?"),
        ] {
            assert!(is_malformed(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("x-forwarded-host", "shop.example.com"),
            ("x-forwarded-host", "shop_1.example.com:8443, [2001:db8::1]:80"),
            ("x-forwarded-host", ""),
            ("x-forwarded-port", "443"),
            ("x-forwarded-port", "443,80"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "wss, http"),
            ("x-forwarded-prefix", "/admin?"),
        ] {
            assert!(!is_malformed(name, value), "{name}: {value}");
        }
        let several = [("x-forwarded-port", "80"), ("x-forwarded-port", "80/admin?"), ("x-forwarded-host", "a")];
        assert_eq!(malformed(&several), 1);
    }
}

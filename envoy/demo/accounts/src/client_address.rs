//! The address of the client, from Envoy's headers: the peer of the connection is Envoy.

use std::net::IpAddr;

use axum::http::HeaderMap;

/// The address in `x-envoy-external-address`, else the last one in `x-forwarded-for`, else `peer`.
///
/// Envoy sets the first header, and appends the address of its own peer to the second. A client may have sent the
/// addresses before that.
pub fn client_address(headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let external = headers.get("x-envoy-external-address").and_then(|value| value.to_str().ok());
    let last_hop = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    let last_hop = last_hop.and_then(|hops| hops.rsplit(',').next());
    let named = external.and_then(parse).or_else(|| last_hop.and_then(parse));
    // rest-sessions gets one form of an IPv4 address, mapped into IPv6 or not.
    named.unwrap_or(peer).to_canonical()
}

fn parse(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn seen(headers: &[(&'static str, &'static str)]) -> String {
        let headers = headers.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        client_address(&headers_of(headers), "127.0.0.1".parse().unwrap()).to_string()
    }

    fn headers_of(headers: impl Iterator<Item = (axum::http::HeaderName, HeaderValue)>) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn the_external_address_is_preferred_to_the_list_of_hops() {
        assert_eq!(
            seen(&[("x-forwarded-for", "203.0.113.9"), ("x-envoy-external-address", "198.51.100.7")]),
            "198.51.100.7"
        );
    }

    #[test]
    fn the_last_hop_is_used_which_envoy_appended() {
        assert_eq!(seen(&[("x-forwarded-for", "203.0.113.9, 198.51.100.7")]), "198.51.100.7");
        assert_eq!(
            seen(&[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1,198.51.100.7")]),
            "198.51.100.7"
        );
    }

    #[test]
    fn without_a_valid_header_it_is_the_peer() {
        assert_eq!(seen(&[]), "127.0.0.1");
        assert_eq!(seen(&[("x-forwarded-for", "unknown"), ("x-envoy-external-address", "")]), "127.0.0.1");
    }

    #[test]
    fn every_address_is_short_enough_for_rest_sessions() {
        assert_eq!(seen(&[("x-envoy-external-address", "::ffff:192.0.2.1")]), "192.0.2.1");
        let longest = "2001:db8:1111:2222:3333:4444:5555:6666";
        assert_eq!(seen(&[("x-envoy-external-address", longest)]), longest);
        assert!(longest.len() <= 39);
    }
}

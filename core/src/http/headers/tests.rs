//! Lookups in the map, held against a search through the pairs that it was made from.

use super::*;
use proptest::prelude::*;

fn pairs(headers: &Headers) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

#[test]
fn a_map_takes_at_least_the_bytes_of_its_names_and_values() {
    let value = "x".repeat(4_000);
    let bytes = Headers::from_pairs(&[("x-filler", &value), ("cookie", &value)]).heap_bytes();
    assert!((8_014..16_384).contains(&bytes), "{bytes}");
    assert_eq!(Headers::default().heap_bytes(), 0);
}

#[test]
fn every_pair_is_read_in_order_with_bytes_that_are_not_utf_8() {
    let given = [(&b":path"[..], &b"/"[..]), (b"x", b"\xff\xfe"), (b"x", b"")];
    let headers = Headers::parse(Headers::serialize(&given)).unwrap();
    assert_eq!(pairs(&headers), given.map(|(n, v)| (n.to_vec(), v.to_vec())));
    assert_eq!(headers.first("x"), Some(&b"\xff\xfe"[..]));
    assert_eq!(headers.single("x"), None);
    assert_eq!(headers.single(":path"), Some(&b"/"[..]));
}

/// The known names, and some that resemble them.
const NAMES: [&str; 14] = [
    ":method",
    ":path",
    ":authority",
    ":scheme",
    ":protocol",
    "upgrade",
    "origin",
    "cookie",
    "",
    "cookie2",
    ":status",
    "Cookie",
    "accept",
    "user-agent",
];

const KNOWN: [Known; Known::COUNT] = [
    Known::Method,
    Known::Path,
    Known::Authority,
    Known::Scheme,
    Known::Protocol,
    Known::Upgrade,
    Known::Origin,
    Known::Cookie,
];

#[test]
fn each_known_header_has_its_own_name() {
    for (place, known) in KNOWN.into_iter().enumerate() {
        assert_eq!(known as usize, place);
        assert_eq!(Known::of(known.name(), NameFilter::of(known.name())), Some(known));
    }
}

#[test]
fn an_empty_buffer_is_an_empty_map() {
    assert_eq!(pairs(&Headers::parse(Vec::new()).unwrap()), []);
}

proptest! {
    #[test]
    fn any_buffer_is_either_refused_or_read_to_its_end(buffer in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Some(headers) = Headers::parse(buffer) {
            prop_assert_eq!(headers.iter().count(), headers.table().len());
        }
    }

    #[test]
    fn known_headers_are_those_that_a_search_finds(
        given in proptest::collection::vec((prop::sample::select(NAMES.to_vec()), "[ab]{0,2}"), 0..12)
    ) {
        let headers = Headers::from_pairs(&given);
        for known in KNOWN {
            let name = std::str::from_utf8(known.name()).unwrap();
            let values: Vec<_> =
                given.iter().filter(|(other, _)| *other == name).map(|(_, value)| value.as_bytes()).collect();
            prop_assert_eq!(headers.all_known(known).collect::<Vec<_>>(), &*values);
            prop_assert_eq!(headers.first_known(known), values.first().copied());
            prop_assert_eq!(headers.single_known(known), if let [value] = *values { Some(value) } else { None });
            prop_assert_eq!(headers.all(name).collect::<Vec<_>>(), &*values);
            prop_assert_eq!(headers.first(name), headers.first_known(known));
            prop_assert_eq!(headers.single(name), headers.single_known(known));
        }
    }

    #[test]
    fn a_known_header_is_found_at_any_position(
        before in 250usize..260, values in proptest::collection::vec("[ab]{1,2}", 1..3)
    ) {
        let mut given = vec![("accept", "*/*"); before];
        given.extend(values.iter().map(|value| ("cookie", value.as_str())));
        let headers = Headers::from_pairs(&given);
        let values: Vec<_> = values.iter().map(String::as_bytes).collect();
        prop_assert_eq!(headers.all_known(Known::Cookie).collect::<Vec<_>>(), &*values);
        prop_assert_eq!(headers.first_known(Known::Cookie), Some(values[0]));
        let single = if let [value] = *values { Some(value) } else { None };
        prop_assert_eq!(headers.single_known(Known::Cookie), single);
        prop_assert!(headers.contains(Known::Cookie) && !headers.contains(Known::Origin));
    }

    #[test]
    fn a_header_is_found_at_any_position(
        given in proptest::collection::vec(("[ab-]{0,2}", "[ab]{0,2}"), 0..6), name in "[ab-]{0,2}"
    ) {
        let headers = Headers::from_pairs(&given);
        let values: Vec<_> =
            given.iter().filter(|(other, _)| *other == name).map(|(_, value)| value.as_bytes()).collect();
        prop_assert_eq!(headers.all(&name).collect::<Vec<_>>(), values);
    }

    #[test]
    fn serialised_pairs_parse_to_themselves(
        given in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..8)
    ) {
        let headers = Headers::parse(Headers::serialize(&given)).unwrap();
        prop_assert_eq!(pairs(&headers), given);
    }
}

//! A serialised header map: refused, or read so that writing it again gives the same map, whichever way it is searched.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rest_sessions_core::http::headers::{Headers, Known};

fuzz_target!(|bytes: &[u8]| {
    let Some(headers) = Headers::parse(bytes.to_vec()) else { return };
    let pairs: Vec<_> = headers.iter().collect();
    let again = Headers::from_pairs(&pairs);
    assert_eq!(again.iter().collect::<Vec<_>>(), pairs);
    for (name, known) in [(":path", Known::Path), (":method", Known::Method), ("cookie", Known::Cookie)] {
        let values: Vec<_> =
            pairs.iter().filter(|(other, _)| *other == name.as_bytes()).map(|(_, value)| *value).collect();
        assert_eq!(headers.all(name).collect::<Vec<_>>(), values);
        assert_eq!(headers.all_known(known).collect::<Vec<_>>(), values);
        assert_eq!(headers.first_known(known), values.first().copied());
        assert_eq!(headers.single_known(known), if let [value] = values[..] { Some(value) } else { None });
    }
});

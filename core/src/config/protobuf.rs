//! Decodes a binary `google.protobuf.Struct`: Envoy passes a configuration in YAML in this form.
//!
//! The messages are those of `google/protobuf/struct.proto`; the encoding is that of
//! <https://protobuf.dev/programming-guides/encoding/>. Other fields and wire types are refused.

use super::json::Json;

/// The maximum nesting of objects and lists, near that of `serde_json` (128).
const MAX_DEPTH: u8 = 100;

/// Decodes a `Struct`.
///
/// # Errors
///
/// What is wrong with the bytes.
pub fn parse_struct(bytes: &[u8]) -> Result<Json, &'static str> {
    object(bytes, MAX_DEPTH)
}

/// The value of a field, by wire type.
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

const TRUNCATED: &str = "the message ends in the middle of a field";
const UNEXPECTED: &str = "a field that google.protobuf.Struct does not have";

fn varint(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(TRUNCATED)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number of more than ten bytes")
}

/// The next field of the message with its number. `None` at the end.
fn field<'a>(bytes: &mut &'a [u8]) -> Result<Option<(u64, Wire<'a>)>, &'static str> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = varint(bytes)?;
    let raw = match key & 7 {
        0 => Wire::Varint(varint(bytes)?),
        1 => {
            let (value, rest) = bytes.split_first_chunk::<8>().ok_or(TRUNCATED)?;
            *bytes = rest;
            Wire::Fixed64(u64::from_le_bytes(*value))
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).map_err(|_| TRUNCATED)?;
            let (value, rest) = bytes.split_at_checked(length).ok_or(TRUNCATED)?;
            *bytes = rest;
            Wire::Bytes(value)
        }
        _ => return Err(UNEXPECTED),
    };
    Ok(Some((key >> 3, raw)))
}

fn text(bytes: &[u8]) -> Result<String, &'static str> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a string that is not UTF-8")
}

/// `message Struct { map<string, Value> fields = 1; }`
fn object(mut bytes: &[u8], depth: u8) -> Result<Json, &'static str> {
    let depth = depth.checked_sub(1).ok_or("objects nested too deep")?;
    let mut entries = Vec::new();
    while let Some((number, raw)) = field(&mut bytes)? {
        let (1, Wire::Bytes(entry)) = (number, raw) else { return Err(UNEXPECTED) };
        entries.push(map_entry(entry, depth)?);
    }
    Ok(Json::Object(entries))
}

/// An entry of a map is a message: the key is field 1, the value field 2.
fn map_entry(mut bytes: &[u8], depth: u8) -> Result<(String, Json), &'static str> {
    let (mut key, mut value) = (String::new(), Json::Null);
    while let Some(entry) = field(&mut bytes)? {
        match entry {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?,
            (2, Wire::Bytes(bytes)) => value = any_value(bytes, depth)?,
            _ => return Err(UNEXPECTED),
        }
    }
    Ok((key, value))
}

/// `message Value`: one of null = 1, number = 2, string = 3, bool = 4, struct = 5, list = 6.
fn any_value(mut bytes: &[u8], depth: u8) -> Result<Json, &'static str> {
    let mut value = Json::Null;
    while let Some(kind) = field(&mut bytes)? {
        value = match kind {
            (1, Wire::Varint(_)) => Json::Null,
            (2, Wire::Fixed64(bits)) => number(f64::from_bits(bits))?,
            (3, Wire::Bytes(bytes)) => Json::Text(text(bytes)?),
            (4, Wire::Varint(flag)) => Json::Bool(flag != 0),
            (5, Wire::Bytes(bytes)) => object(bytes, depth)?,
            (6, Wire::Bytes(bytes)) => list(bytes, depth)?,
            _ => return Err(UNEXPECTED),
        };
    }
    Ok(value)
}

/// `message ListValue { repeated Value values = 1; }`
fn list(mut bytes: &[u8], depth: u8) -> Result<Json, &'static str> {
    let depth = depth.checked_sub(1).ok_or("lists nested too deep")?;
    let mut items = Vec::new();
    while let Some((number, raw)) = field(&mut bytes)? {
        let (1, Wire::Bytes(item)) = (number, raw) else { return Err(UNEXPECTED) };
        items.push(any_value(item, depth)?);
    }
    Ok(Json::List(items))
}

fn number(value: f64) -> Result<Json, &'static str> {
    if value.is_finite() { Ok(Json::Number(value)) } else { Err("a number that is not finite") }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode_varint(mut value: usize, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn encode_bytes(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
        out.push(number << 3 | 2);
        encode_varint(bytes.len(), out);
        out.extend(bytes);
    }

    fn encode_value(json: &Json) -> Vec<u8> {
        let mut out = Vec::new();
        match json {
            Json::Null => out.extend([1 << 3, 0]),
            Json::Number(number) => {
                out.push(2 << 3 | 1);
                out.extend(number.to_le_bytes());
            }
            Json::Text(text) => encode_bytes(3, text.as_bytes(), &mut out),
            Json::Bool(flag) => out.extend([4 << 3, u8::from(*flag)]),
            Json::Object(_) => encode_bytes(5, &encode_struct(json), &mut out),
            Json::List(items) => {
                let mut list = Vec::new();
                items.iter().for_each(|item| encode_bytes(1, &encode_value(item), &mut list));
                encode_bytes(6, &list, &mut out);
            }
        }
        out
    }

    pub fn encode_struct(json: &Json) -> Vec<u8> {
        let Json::Object(entries) = json else { panic!("a Struct is an object") };
        let mut out = Vec::new();
        for (key, value) in entries {
            let mut entry = Vec::new();
            encode_bytes(1, key.as_bytes(), &mut entry);
            encode_bytes(2, &encode_value(value), &mut entry);
            encode_bytes(1, &entry, &mut out);
        }
        out
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i32>().prop_map(|n| Json::Number(n.into())),
            ".{0,9}".prop_map(Json::Text),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::List),
                proptest::collection::vec((".{0,5}", inner), 0..4).prop_map(Json::Object),
            ]
        })
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut inner = vec![2 << 3 | 1];
            inner.extend(value.to_le_bytes());
            let (mut entry, mut message) = (Vec::new(), Vec::new());
            encode_bytes(2, &inner, &mut entry);
            encode_bytes(1, &entry, &mut message);
            assert_eq!(parse_struct(&message), Err("a number that is not finite"));
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let mut nested = Json::Null;
        for _ in 0..200 {
            nested = Json::List(vec![nested]);
        }
        let message = encode_struct(&Json::Object(vec![("a".into(), nested)]));
        assert_eq!(parse_struct(&message), Err("lists nested too deep"));
    }

    proptest! {
        #[test]
        fn an_encoded_struct_is_decoded_to_itself(entries in proptest::collection::vec((".{0,5}", json()), 0..4)) {
            let given = Json::Object(entries);
            prop_assert_eq!(parse_struct(&encode_struct(&given)).unwrap(), given);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = parse_struct(&bytes);
        }
    }
}

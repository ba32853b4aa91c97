//! Encodes JSON as a binary `google.protobuf.Struct`, the form of a configuration in a YAML bootstrap.

use serde_json::{Map, Value};

/// A length-delimited field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend(bytes);
    out
}

/// A `Value` with a number.
pub fn number(value: f64) -> Vec<u8> {
    let mut out = vec![2 << 3 | 1];
    out.extend(value.to_le_bytes());
    out
}

fn value(given: &Value) -> Vec<u8> {
    match given {
        Value::Null => vec![1 << 3, 0],
        Value::Number(given) => number(given.as_f64().unwrap()),
        Value::String(text) => field(3, text.as_bytes()),
        Value::Bool(given) => vec![4 << 3, u8::from(*given)],
        Value::Object(map) => field(5, &object(map)),
        Value::Array(list) => field(6, &list.iter().flat_map(|item| field(1, &value(item))).collect::<Vec<_>>()),
    }
}

fn object(map: &Map<String, Value>) -> Vec<u8> {
    map.iter().flat_map(|(key, given)| entry(key, &value(given))).collect()
}

/// A key of a Struct with an encoded `Value`.
pub fn entry(key: &str, value: &[u8]) -> Vec<u8> {
    field(1, &[field(1, key.as_bytes()), field(2, value)].concat())
}

/// A Struct with the keys of an object.
pub fn encode(given: &Value) -> Vec<u8> {
    object(given.as_object().expect("a Struct is an object"))
}

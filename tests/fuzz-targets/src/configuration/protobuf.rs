//! JSON as a binary `google.protobuf.Struct`.

use serde_json::Value;

/// The Struct of an object.
pub fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let mut entry = Vec::new();
        field(1, key.as_bytes(), &mut entry);
        field(2, &any_value(value), &mut entry);
        field(1, &entry, &mut bytes);
    }
    bytes
}

fn any_value(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    match value {
        Value::Null => bytes.extend([1 << 3, 0]),
        Value::Number(number) => {
            bytes.push(2 << 3 | 1);
            bytes.extend(number.as_f64().expect("a double").to_le_bytes());
        }
        Value::String(text) => field(3, text.as_bytes(), &mut bytes),
        Value::Bool(flag) => bytes.extend([4 << 3, u8::from(*flag)]),
        Value::Object(_) => field(5, &encoded(value), &mut bytes),
        Value::Array(items) => {
            let mut list = Vec::new();
            items.iter().for_each(|item| field(1, &any_value(item), &mut list));
            field(6, &list, &mut bytes);
        }
    }
    bytes
}

/// A field of bytes, with its length.
fn field(number: u8, content: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(number << 3 | 2);
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
}

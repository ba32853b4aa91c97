//! The values that requirements compare fields with, which can be of several JSON types.

use super::duration::duration;
use super::json::Json;
use super::reader::{Node, Read};
use crate::policy::requirements::Constant;

/// A string, a number, or a boolean.
#[derive(Debug)]
pub struct Scalar(pub Constant);

/// 2^53 - 1. Larger integers are not all distinct as doubles, so different ones could compare equal.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

impl Read for Scalar {
    fn read(node: Node<'_>) -> Option<Self> {
        let constant = match node.json() {
            Json::Text(text) => Some(Constant::Text(text.clone())),
            Json::Bool(flag) => Some(Constant::Bool(*flag)),
            Json::Number(number) if number.abs() <= MAX_EXACT => Some(Constant::Number(*number)),
            _ => None,
        };
        if constant.is_none() {
            node.unexpected(&"a string, true or false, or a number of no more than 9007199254740991");
        }
        constant.map(Self)
    }
}

/// A number, or a duration, which is converted to seconds.
#[derive(Clone, Copy, Debug)]
pub struct Bound(pub f64);

impl Read for Bound {
    #[expect(clippy::cast_precision_loss, reason = "2^53 ms are 285,000 years")]
    fn read(node: Node<'_>) -> Option<Self> {
        let bound = match node.json() {
            Json::Number(number) => Some(*number),
            Json::Text(text) => duration(text).map(|millis| millis as f64 / 1_000.0),
            _ => None,
        };
        if bound.is_none() {
            node.unexpected(&"a number, or a duration such as \"10m\" for its seconds");
        }
        bound.map(Self)
    }
}

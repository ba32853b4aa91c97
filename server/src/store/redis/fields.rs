//! The fields of a session's hash, as the scripts return them.

use serde_json::value::RawValue;

use crate::data::Data;
use crate::params::MAX_SECONDS;
use crate::session::{Record, Session};
use crate::store::StoreError;

/// The values of `id`, `r`, `w`, `ttl`, `d`, `la`, `ip` and `no_resave`.
pub type Fields = Vec<Option<Vec<u8>>>;

/// The session at `now`. `None` if it is missing, expired, or lacks a field that every session has. `Corrupt` if `d` is
/// not a JSON object.
pub fn parse_session(mut fields: Fields, now: i64) -> Result<Option<Session>, StoreError> {
    let data = match fields.get_mut(4).and_then(Option::take).filter(|data| !data.is_empty()) {
        Some(data) => Data::normalize_stored(owned_text(data)).map_err(|_| StoreError::Corrupt)?,
        None => None,
    };
    Ok(parse_record(fields, data).and_then(|record| record.at(now)))
}

/// The session of a script that also returns the time, as the last value.
pub fn parse_timed_session(mut fields: Fields) -> Result<Option<Session>, StoreError> {
    let now = number(&fields.pop().flatten().unwrap_or_default());
    parse_session(fields, now)
}

/// As [`parse_timed_session`], without looking at `d`.
pub fn parse_timed_session_without_data(mut fields: Fields) -> Option<Session> {
    let now = number(&fields.pop().flatten().unwrap_or_default());
    parse_record(fields, None)?.at(now)
}

fn parse_record(fields: Fields, data: Option<Box<RawValue>>) -> Option<Record> {
    let [id, reads, writes, ttl, _, last_activity, ip, no_resave] = <[_; 8]>::try_from(fields).ok()?;
    Some(Record {
        id: owned_text(id?),
        reads: number(&reads.unwrap_or_default()),
        writes: number(&writes.unwrap_or_default()),
        ttl: number(&ttl?),
        last_activity: number(&last_activity?),
        ip: owned_text(ip?),
        no_resave: no_resave.is_some_and(|flag| flag == b"1"),
        data,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As [`text`], without a copy if the bytes are UTF-8.
fn owned_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| text(error.as_bytes()))
}

/// JavaScript writes large numbers as `1e+22`.
#[allow(clippy::cast_possible_truncation, reason = "a cast from float saturates, and the result is clamped")]
pub fn number(bytes: &[u8]) -> i64 {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let number = text.parse().unwrap_or_else(|_| text.parse::<f64>().unwrap_or_default() as i64);
    number.clamp(-MAX_SECONDS, MAX_SECONDS)
}

/// `d` as Redis holds it.
pub fn parse_data(stored: &[u8]) -> Result<Data, StoreError> {
    if stored.is_empty() {
        return Ok(Data::default());
    }
    Data::from_stored(&text(stored)).map_err(|_| StoreError::Corrupt)
}

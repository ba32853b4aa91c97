//! The fields of a session's hash: their names, and how they are read.

use crate::data::Data;
use crate::params::MAX_SECONDS;
use crate::session::{Record, Session};
use crate::store::StoreError;

pub const FIELDS: [&str; 8] = ["id", "r", "w", "ttl", "d", "la", "ip", "no_resave"];

/// The values of [`FIELDS`].
pub type Fields = Vec<Option<Vec<u8>>>;

/// `None` if the session is missing, expired, or lacks a field that every session has. `Corrupt` if `d` is not a JSON
/// object.
pub fn parse_session(fields: Option<Fields>, now: i64) -> Result<Option<Session>, StoreError> {
    let Some(fields) = fields else { return Ok(None) };
    let Ok([id, reads, writes, ttl, data, last_activity, ip, no_resave]) = <[_; 8]>::try_from(fields) else {
        return Ok(None);
    };
    let (Some(id), Some(ip), Some(ttl), Some(last_activity)) = (id, ip, ttl, last_activity) else { return Ok(None) };
    let record = Record {
        id: text(&id),
        reads: number(&reads.unwrap_or_default()),
        writes: number(&writes.unwrap_or_default()),
        ttl: number(&ttl),
        last_activity: number(&last_activity),
        ip: text(&ip),
        no_resave: no_resave.is_some_and(|flag| flag == b"1"),
        data: parse_data(&data.unwrap_or_default())?.to_text().map_err(|_| StoreError::Corrupt)?,
    };
    Ok(record.at(now))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// JavaScript writes large numbers as `1e+22`.
#[allow(clippy::cast_possible_truncation, reason = "a cast from float saturates, and the result is clamped")]
fn number(bytes: &[u8]) -> i64 {
    let number: f64 = text(bytes).parse().unwrap_or_default();
    (number as i64).clamp(-MAX_SECONDS, MAX_SECONDS)
}

pub fn parse_data(stored: &[u8]) -> Result<Data, StoreError> {
    if stored.is_empty() {
        return Ok(Data::default());
    }
    Data::from_stored(&text(stored)).map_err(|_| StoreError::Corrupt)
}

//! Session tokens as rest-sessions makes them: 55 characters, `Z`, and the creation time in base 36.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A token made just now, different from every other of this run.
pub fn fresh() -> String {
    made_at(SystemTime::now())
}

/// A token that says it was made `age` ago.
pub fn aged(age: Duration) -> String {
    made_at(SystemTime::now() - age)
}

/// A token that says it will be made after `lead`.
pub fn ahead_by(lead: Duration) -> String {
    made_at(SystemTime::now() + lead)
}

fn made_at(time: SystemTime) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    let created = time.duration_since(UNIX_EPOCH).expect("the clock stands after 1970");
    let created = base36(u64::try_from(created.as_millis()).expect("milliseconds since 1970 fit"));
    format!("{:a<55}Z{created}", format!("Token{serial}x"))
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(char::from_digit((number % 36) as u32, 36).expect("a remainder of 36 is a digit of base 36"));
        number /= 36;
    }
    digits.iter().rev().collect()
}

//! Session tokens as rest-sessions makes them: 55 random characters, `Z`, and the creation time in base 36.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A token created now, unique within this process.
pub fn fresh() -> String {
    unique(SystemTime::now())
}

/// A token created `age` ago, unique within this process.
pub fn aged(age: Duration) -> String {
    unique(SystemTime::now() - age)
}

/// A token whose creation time is `lead` in the future, unique within this process.
pub fn ahead_by(lead: Duration) -> String {
    unique(SystemTime::now() + lead)
}

fn unique(time: SystemTime) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    let created = time.duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_millis();
    created_at(&format!("Token{serial}x"), u64::try_from(created).expect("milliseconds since 1970 fit"))
}

/// The token with this creation time, in milliseconds since 1970. Its random part is `random`, repeated up to 55
/// characters, so the same arguments give the same token.
pub fn created_at(random: &str, created_ms: u64) -> String {
    let random: String = random.chars().cycle().take(55).collect();
    let mut rest = created_ms;
    let mut digits = ['0'; 8];
    for digit in digits.iter_mut().rev() {
        *digit = char::from_digit((rest % 36) as u32, 36).expect("a remainder of 36 is a digit");
        rest /= 36;
    }
    assert_eq!(rest, 0, "{created_ms} ms take more than 8 digits");
    format!("{random}Z{}", String::from_iter(digits))
}

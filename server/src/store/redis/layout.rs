//! Where the keys of a session lie: the layout of the original in a single Redis, or one of our own in Redis Cluster.

use super::keys::Keys;
use crate::params::App;
use crate::token::{LEADING_NUMBERS, Token};

/// Slots of a Redis Cluster (Redis Cluster specification, "Key distribution model"). A token can name each.
const SLOTS: u16 = LEADING_NUMBERS;

/// The layout of the keys.
///
/// In a cluster, all keys of a user's sessions lie in one slot, which the app and the user's id select. So each script
/// stays in one slot, and the users of an app spread over all of them. The first letters of a token name the slot. The
/// names of the keys are those of a single Redis, with a hash tag after the namespace.
pub enum Layout {
    Single(Keys),
    /// The keys of each slot.
    Cluster(Box<[Keys]>),
}

impl Layout {
    pub fn single(namespace: &str) -> Self {
        Self::Single(Keys::new(namespace))
    }

    pub fn cluster(namespace: &str) -> Self {
        Self::Cluster(hash_tags().iter().map(|tag| Keys::new(&format!("{namespace}:{{{tag}}}"))).collect())
    }

    /// The keys of the slot with this token.
    pub fn of_token(&self, token: &Token) -> Keys {
        self.partition(|| token.leading_number())
    }

    /// The keys of the slot with the sessions of this user.
    pub fn of_user(&self, app: &App, id: &str) -> Keys {
        self.partition(|| user_slot(app, id))
    }

    fn partition(&self, slot: impl FnOnce() -> u16) -> Keys {
        match self {
            Self::Single(keys) => keys.clone(),
            // The table has an entry for each slot.
            Self::Cluster(slots) => slots.get(usize::from(slot())).cloned().unwrap_or_else(|| Keys::new("")),
        }
    }

    /// The keys of each part, in a cluster one for each slot.
    pub fn partitions(&self) -> impl Iterator<Item = Keys> {
        let parts = match self {
            Self::Single(keys) => std::slice::from_ref(keys),
            Self::Cluster(slots) => slots,
        };
        parts.iter().cloned()
    }

    /// Some of the partitions, `step` apart: each node of a cluster usually holds a contiguous range of slots.
    pub fn sample(&self, step: usize) -> impl Iterator<Item = Keys> {
        self.partitions().step_by(step)
    }

    /// A new token for a session of this user. `now_millis` is in milliseconds since 1970.
    pub fn new_token(&self, app: &App, id: &str, now_millis: u64) -> Result<Token, getrandom::Error> {
        match self {
            Self::Single(_) => Token::generate(now_millis),
            Self::Cluster(_) => Token::generate_leading(now_millis, user_slot(app, id)),
        }
    }
}

fn user_slot(app: &App, id: &str) -> u16 {
    slot(&format!("{}:{id}", app.as_str()))
}

fn slot(text: &str) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(text.as_bytes()) % SLOTS
}

/// A hash tag for each slot: the smallest number whose text falls into it.
fn hash_tags() -> Vec<String> {
    let mut tags = vec![String::new(); usize::from(SLOTS)];
    let mut missing = tags.len();
    for number in 0u32.. {
        if missing == 0 {
            break;
        }
        let text = number.to_string();
        if let Some(tag) = tags.get_mut(usize::from(slot(&text))).filter(|tag| tag.is_empty()) {
            *tag = text;
            missing = missing.saturating_sub(1);
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_hash_tag_that_falls_into_it() {
        let tags = hash_tags();
        assert_eq!(tags.len(), 16_384);
        for (number, tag) in tags.iter().enumerate() {
            assert_eq!(usize::from(slot(tag)), number);
        }
        // The example of the specification.
        assert_eq!(slot("123456789"), 0x31C3);
    }

    #[test]
    fn in_a_cluster_a_token_leads_to_the_slot_of_its_user() {
        let layout = Layout::cluster("rs");
        let app = App::parse("app1").unwrap();
        for user in 0..500 {
            let id = format!("user{user}");
            let token = layout.new_token(&app, &id, 1_700_000_000_000).unwrap();
            let (of_user, of_token) = (layout.of_user(&app, &id), layout.of_token(&token));
            assert_eq!(of_user.sessions(&app), of_token.sessions(&app), "{id}");
            assert!(of_user.sessions(&app).starts_with("rs:{"));
        }
    }

    #[test]
    fn in_a_cluster_users_spread_over_the_slots() {
        let app = App::parse("app1").unwrap();
        let slots: std::collections::HashSet<u16> = (0..20_000).map(|n| user_slot(&app, &format!("user{n}"))).collect();
        assert!(slots.len() > 10_000, "{}", slots.len());
    }

    #[test]
    fn any_token_has_a_slot() {
        let layout = Layout::cluster("rs");
        for text in ["a".repeat(64), "Z".repeat(64), "9".repeat(64)] {
            assert!(layout.of_token(&Token::parse(&text).unwrap()).expirations().ends_with(":SESSIONS"));
        }
    }
}

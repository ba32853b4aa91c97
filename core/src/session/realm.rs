//! Whose sessions a token is looked for among: those of one app at one service.

use std::rc::Rc;

use siphasher::sip::SipHasher13;

use super::calls::{Service, TargetId};
use super::token::Token;

/// Which of a configuration's realms is meant. Two are the same only if cluster, authority, path prefix and app are,
/// each compared in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RealmId(pub usize);

/// The sessions of one app at one service. A token of one realm means nothing in another.
#[derive(Debug)]
pub struct Realm {
    pub id: RealmId,
    pub target_id: TargetId,
    pub app: Rc<str>,
    /// All that tells it from any other realm, in whatever configuration.
    in_full: Box<[u8]>,
    /// Of the above, the same in all workers; worked out once.
    hash: u64,
}

impl Realm {
    #[must_use]
    pub fn new(id: RealmId, target_id: TargetId, service: &Service, app: Rc<str>) -> Self {
        let mut in_full = Vec::new();
        for part in [&*service.cluster, &service.authority, &service.path_prefix, &*app] {
            in_full.extend(part.as_bytes());
            // No part holds it, so no two realms read the same: a cluster is visible ASCII, and so is all else.
            in_full.push(0);
        }
        let hash = SipHasher13::new().hash(&in_full);
        Self { id, target_id, app, in_full: in_full.into(), hash }
    }

    /// Whether this is the realm of that app at that service.
    #[must_use]
    pub fn is(&self, target_id: TargetId, app: &str) -> bool {
        self.target_id == target_id && *self.app == *app
    }

    /// A session of this realm in such a form that no two sessions of any realms have the same.
    #[must_use]
    pub fn session_in_full(&self, token: &Token) -> Vec<u8> {
        [&self.in_full, token.reveal().as_bytes()].concat()
    }

    /// A keyed hash of a session of this realm. The whole of what tells sessions apart goes into it; but two of the same
    /// hash may still differ.
    #[must_use]
    pub fn session_hash(&self, token: &Token, key: (u64, u64)) -> u64 {
        SipHasher13::new_with_keys(key.0, key.1 ^ self.hash).hash(token.reveal().as_bytes())
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::token::tests::{NOW_MS, token_made_at};
    use super::*;

    fn service(cluster: &str, authority: &str, path_prefix: &str) -> Service {
        Service {
            cluster: cluster.into(),
            authority: authority.into(),
            path_prefix: path_prefix.into(),
            timeout_ms: 500,
            retries: 0,
            max_in_flight: 256,
            breaker: None,
        }
    }

    #[test]
    fn no_two_realms_and_no_two_tokens_read_or_hash_the_same() {
        let tokens = [0, 1].map(|age| Token::parse(token_made_at(NOW_MS - age).as_bytes(), &|| NOW_MS).unwrap());
        let realms = [
            ("a", "b", "/c", "app"),
            ("ab", "", "/c", "app"),
            ("a", "b/c", "", "app"),
            ("a", "b", "/capp", ""),
            ("a", "b", "/c", "ap2"),
        ];
        let mut seen = Vec::new();
        for (cluster, authority, path_prefix, app) in realms {
            let realm = Realm::new(RealmId(0), TargetId(0), &service(cluster, authority, path_prefix), app.into());
            for token in &tokens {
                seen.push((realm.session_in_full(token), realm.session_hash(token, (1, 2))));
            }
        }
        for (place, (full, hash)) in seen.iter().enumerate() {
            for (other_full, other_hash) in &seen[..place] {
                assert_ne!(full, other_full);
                assert_ne!(hash, other_hash);
            }
        }
    }

    #[test]
    fn the_hash_depends_on_the_key_and_not_on_the_place_in_a_configuration() {
        let token = Token::parse(token_made_at(NOW_MS).as_bytes(), &|| NOW_MS).unwrap();
        let of = |id, key| {
            Realm::new(RealmId(id), TargetId(id), &service("a", "b", ""), "app".into()).session_hash(&token, key)
        };
        assert_eq!(of(0, (1, 2)), of(7, (1, 2)));
        assert_ne!(of(0, (1, 2)), of(0, (1, 3)));
        assert_ne!(of(0, (1, 2)), of(0, (2, 2)));
    }
}

//! Where sessions are looked up: a service with its limits, and the namespace of the sessions.

use std::rc::Rc;

use siphasher::sip::SipHasher13;

use super::breaker;
use crate::session::token::Token;

/// A rest-sessions service and an app, as a rule uses them. Rules with equal settings share one value.
#[derive(Debug)]
pub struct Backend {
    /// The service, with its timeout and limits.
    pub service: Service,
    /// Selects the count of calls in flight. Equal services have equal ids.
    pub service_id: ServiceId,
    /// The app at the service's target.
    pub namespace: Namespace,
}

/// A rest-sessions service, and how it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Envoy's name of the cluster.
    pub cluster: Rc<str>,
    /// The `:authority` of calls (RFC 9113, section 8.3.1).
    pub authority: String,
    /// The part of a call's path before `/{app}`. It is empty, or starts with `/` and does not end with `/`.
    pub path_prefix: String,
    /// The timeout of one call, in milliseconds: 1 to 60000. A lookup's retries are included.
    pub timeout_ms: u64,
    /// How often Envoy retries a lookup after a refused or reset connection: 0 to 3. Kills and changes are not retried.
    pub retries: u64,
    /// The maximum number of calls in flight, in one worker: 1 to 100000.
    pub max_in_flight: usize,
    /// The circuit breaker of each worker. `None`: outages never stop calls.
    pub breaker: Option<breaker::Settings>,
}

impl Service {
    /// Whether both hold the same sessions: cluster, authority and path prefix are equal.
    #[must_use]
    pub fn same_target(&self, other: &Self) -> bool {
        (&self.cluster, &self.authority, &self.path_prefix) == (&other.cluster, &other.authority, &other.path_prefix)
    }
}

/// Which of a configuration's services is meant: each has its own count of calls in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceId(pub usize);

/// Which of a configuration's targets is meant: a cluster, authority and path prefix. Each has its own circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetId(pub usize);

/// Which of a configuration's namespaces is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceId(pub usize);

/// The sessions of one app at one target. A token of one namespace means nothing in another.
#[derive(Debug)]
pub struct Namespace {
    /// Equal for equal namespaces of a configuration, and for no others.
    pub id: NamespaceId,
    /// Selects the circuit breaker. Apps at one target share it.
    pub target_id: TargetId,
    /// The name of the app: a path segment of calls, and the realm of local replies (RFC 9110, section 11.5).
    pub app: Rc<str>,
    /// Cluster, authority, path prefix and app, unambiguous across configurations.
    prefix: Box<[u8]>,
    /// A hash of `prefix`, equal in all workers.
    hash: u64,
}

impl Namespace {
    /// The namespace of `app` at the target of `service`. Keys and hashes depend on these two, and not on the ids.
    #[must_use]
    pub fn new(id: NamespaceId, target_id: TargetId, service: &Service, app: Rc<str>) -> Self {
        let mut prefix = Vec::new();
        for part in [&*service.cluster, &service.authority, &service.path_prefix, &*app] {
            prefix.extend(part.as_bytes());
            // Every part is visible ASCII, so a zero byte can only be a separator.
            prefix.push(0);
        }
        let hash = SipHasher13::new().hash(&prefix);
        Self { id, target_id, app, prefix: prefix.into(), hash }
    }

    /// Collision-free key bytes of a session.
    #[must_use]
    pub fn key_bytes(&self, token: &Token) -> Vec<u8> {
        [&self.prefix, token.reveal().as_bytes()].concat()
    }

    /// A keyed hash of [`Self::key_bytes`], equal in all workers that have the same key. Two sessions may collide.
    #[must_use]
    pub fn key_hash(&self, token: &Token, key: (u64, u64)) -> u64 {
        SipHasher13::new_with_keys(key.0, key.1 ^ self.hash).hash(token.reveal().as_bytes())
    }
}

/// Which session is meant. Two requests share a call or a cached session only if all of it is equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The namespace that the token belongs to.
    pub namespace: NamespaceId,
    /// The token, compared in constant time.
    pub token: Token,
    /// Whether lookups of the session count as a use of it.
    pub touches: bool,
}

/// Tests of namespaces and of their hashes.
#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::session::token::tests::{NOW_MS, token_made_at};

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
    fn no_two_namespaces_and_no_two_tokens_read_or_hash_the_same() {
        let tokens = [0, 1].map(|age| Token::parse(token_made_at(NOW_MS - age).as_bytes(), &|| NOW_MS).unwrap());
        let namespaces = [
            ("a", "b", "/c", "app"),
            ("ab", "", "/c", "app"),
            ("a", "b/c", "", "app"),
            ("a", "b", "/capp", ""),
            ("a", "b", "/c", "ap2"),
        ];
        let mut seen = Vec::new();
        for (cluster, authority, path_prefix, app) in namespaces {
            let namespace =
                Namespace::new(NamespaceId(0), TargetId(0), &service(cluster, authority, path_prefix), app.into());
            for token in &tokens {
                seen.push((namespace.key_bytes(token), namespace.key_hash(token, (1, 2))));
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
            Namespace::new(NamespaceId(id), TargetId(id), &service("a", "b", ""), "app".into()).key_hash(&token, key)
        };
        assert_eq!(of(0, (1, 2)), of(7, (1, 2)));
        assert_ne!(of(0, (1, 2)), of(0, (1, 3)));
        assert_ne!(of(0, (1, 2)), of(0, (2, 2)));
    }
}

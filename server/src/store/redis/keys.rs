//! The names of the keys and of their members, the same as in the original.

use std::sync::Arc;

use crate::params::App;
use crate::token::Token;

/// The keys below one namespace.
#[derive(Clone)]
pub struct Keys {
    namespace: Arc<str>,
}

impl Keys {
    pub fn new(namespace: &str) -> Self {
        Self { namespace: Arc::from(namespace) }
    }

    /// The common prefix of the keys of one app.
    pub fn prefix(&self, app: &App) -> String {
        format!("{}:{}:", self.namespace, app.as_str())
    }

    /// Hash: one session.
    pub fn session(&self, app: &App, token: &str) -> String {
        format!("{}:{}:{token}", self.namespace, app.as_str())
    }

    /// The key of a session for the log: without the token, but for the letters that find the key.
    pub fn masked_session(&self, app: &App, token: &str) -> String {
        let start: String = token.chars().take(6).collect();
        format!("{}…", self.session(app, &start))
    }

    /// Sorted set: the sessions of an app by last activity.
    pub fn sessions(&self, app: &App) -> String {
        format!("{}:{}:_sessions", self.namespace, app.as_str())
    }

    /// Sorted set: the users of an app by last activity.
    pub fn users(&self, app: &App) -> String {
        format!("{}:{}:_users", self.namespace, app.as_str())
    }

    /// Set: the tokens of a user.
    pub fn tokens(&self, app: &App, id: &str) -> String {
        format!("{}:{}:us:{id}", self.namespace, app.as_str())
    }

    /// Sorted set: the sessions of all apps by the second at which they expire.
    pub fn expirations(&self) -> String {
        format!("{}:SESSIONS", self.namespace)
    }

    /// String: written to see whether Redis takes writes. The original has no such key.
    pub fn ready(&self) -> String {
        format!("{}:_ready", self.namespace)
    }

    /// The keys of the indexes of an app, in the order of the scripts for many sessions.
    pub fn indexes(&self, app: &App) -> Vec<String> {
        vec![self.sessions(app), self.users(app), self.expirations()]
    }

    /// The keys of one session, in the order of the scripts for one session.
    pub fn of_session(&self, app: &App, token: &Token) -> Vec<String> {
        let mut keys = self.indexes(app);
        keys.push(self.session(app, token.as_str()));
        keys
    }
}

/// The token and the id of a member of [`Keys::sessions`]. An id may contain colons, a token does not.
pub fn split_member(member: &str) -> Option<(&str, &str)> {
    member.split_once(':')
}

/// The app, the token and the id of a member of [`Keys::expirations`].
pub fn split_expiration_member(member: &str) -> Option<(App, &str, &str)> {
    let (app, rest) = member.split_once(':')?;
    let (token, id) = split_member(rest)?;
    Some((App::parse(app).ok()?, token, id))
}

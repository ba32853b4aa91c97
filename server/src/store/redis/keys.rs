//! The names of the keys and of their members, the same as in the original.

use crate::params::App;
use crate::token::Token;

pub struct Keys {
    namespace: String,
}

impl Keys {
    pub fn new(namespace: String) -> Self {
        Self { namespace }
    }

    /// The common prefix of the keys of one app.
    pub fn prefix(&self, app: &App) -> String {
        format!("{}:{}:", self.namespace, app.as_str())
    }

    /// Hash: one session.
    pub fn session(&self, app: &App, token: &str) -> String {
        format!("{}{token}", self.prefix(app))
    }

    /// Sorted set: the sessions of an app by last activity.
    pub fn sessions(&self, app: &App) -> String {
        format!("{}_sessions", self.prefix(app))
    }

    /// Sorted set: the users of an app by last activity.
    pub fn users(&self, app: &App) -> String {
        format!("{}_users", self.prefix(app))
    }

    /// Set: the tokens of a user.
    pub fn tokens(&self, app: &App, id: &str) -> String {
        format!("{}us:{id}", self.prefix(app))
    }

    /// Sorted set: the sessions of all apps by the second at which they expire.
    pub fn expirations(&self) -> String {
        format!("{}:SESSIONS", self.namespace)
    }
}

/// The member of [`Keys::sessions`].
pub fn member(token: &Token, id: &str) -> String {
    format!("{}:{id}", token.as_str())
}

/// The member of [`Keys::expirations`].
pub fn expiration_member(app: &App, token: &Token, id: &str) -> String {
    format!("{}:{}", app.as_str(), member(token, id))
}

/// The token and the id. An id may contain colons, a token does not.
pub fn split_member(member: &str) -> Option<(&str, &str)> {
    member.split_once(':')
}

/// The app, the token and the id.
pub fn split_expiration_member(member: &str) -> Option<(App, &str, &str)> {
    let (app, rest) = member.split_once(':')?;
    let (token, id) = split_member(rest)?;
    Some((App::parse(app).ok()?, token, id))
}

//! The names of the keys and members, which are the original's.

use crate::params::App;
use crate::token::Token;

pub struct Keys {
    namespace: String,
}

impl Keys {
    pub fn new(namespace: String) -> Self {
        Self { namespace }
    }

    /// What stands before everything of one app.
    pub fn prefix(&self, app: &App) -> String {
        format!("{}:{}:", self.namespace, app.as_str())
    }

    pub fn session(&self, app: &App, token: &str) -> String {
        format!("{}{token}", self.prefix(app))
    }

    pub fn sessions(&self, app: &App) -> String {
        format!("{}_sessions", self.prefix(app))
    }

    pub fn users(&self, app: &App) -> String {
        format!("{}_users", self.prefix(app))
    }

    pub fn tokens(&self, app: &App, id: &str) -> String {
        format!("{}us:{id}", self.prefix(app))
    }

    /// The ends of the sessions of all apps.
    pub fn expirations(&self) -> String {
        format!("{}:SESSIONS", self.namespace)
    }
}

pub fn member(token: &Token, id: &str) -> String {
    format!("{}:{id}", token.as_str())
}

pub fn expiration_member(app: &App, token: &Token, id: &str) -> String {
    format!("{}:{}", app.as_str(), member(token, id))
}

/// The token and the id; an id may hold colons, a token may not.
pub fn split_member(member: &str) -> Option<(&str, &str)> {
    member.split_once(':')
}

pub fn split_expiration_member(member: &str) -> Option<(App, &str, &str)> {
    let (app, rest) = member.split_once(':')?;
    let (token, id) = split_member(rest)?;
    Some((App::parse(app).ok()?, token, id))
}

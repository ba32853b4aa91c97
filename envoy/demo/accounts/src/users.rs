//! The users. This is a demo: the login page shows their passwords.

use subtle::{Choice, ConstantTimeEq};

#[derive(Debug, PartialEq, Eq)]
pub struct User {
    pub id: &'static str,
    pub name: &'static str,
    /// Becomes `d.role` of the session, which rules of the filter require.
    pub role: &'static str,
    pub password: &'static str,
}

pub const USERS: [User; 2] = [
    User { id: "ada", name: "Ada Lovelace", role: "admin", password: "engine" },
    User { id: "max", name: "Max Planck", role: "member", password: "quantum" },
];

/// Compares with every user in constant time: the response time reveals neither which users exist nor how much of a
/// password is right.
pub fn authenticate(id: &str, password: &str) -> Option<&'static User> {
    USERS.iter().fold(None, |found, user| {
        let same: Choice =
            user.id.as_bytes().ct_eq(id.as_bytes()) & user.password.as_bytes().ct_eq(password.as_bytes());
        if same.into() { Some(user) } else { found }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_needs_the_right_name_and_password() {
        for user in &USERS {
            assert_eq!(authenticate(user.id, user.password), Some(user));
        }
        for (id, password) in [("ada", "quantum"), ("max", "engine"), ("eve", "engine"), ("", ""), ("ada", "engine ")] {
            assert_eq!(authenticate(id, password), None, "{id} {password}");
        }
    }
}

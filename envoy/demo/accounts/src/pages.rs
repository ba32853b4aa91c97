//! The login page: the form, with an error if there is one.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use demo_web::Page;
use maud::{Markup, html};

use crate::users::USERS;

/// Why a login failed.
#[derive(Debug, Clone, Copy)]
pub enum Problem {
    /// The user is unknown or the password wrong; the page does not show which.
    Refused,
    /// rest-sessions does not answer.
    Unavailable,
}

/// `next` is the URL that the login returns to, already checked.
pub fn form(next: &str, user: &str, problem: Option<Problem>) -> Response {
    let (status, text) = match problem {
        None => (StatusCode::OK, None),
        Some(Problem::Refused) => {
            (StatusCode::UNAUTHORIZED, Some("That user and password do not go together. Try again."))
        }
        Some(Problem::Unavailable) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some("Logging in is not possible at the moment. It is not your fault; try again in a while."),
        ),
    };
    let main = html! {
        div.card.narrow {
            h1 { "Log in" }
            @if let Some(text) = text { p.alert role="alert" { (text) } }
            p.quiet { "You will be taken to " code { (next) } }
            form method="post" action="/login" {
                input type="hidden" name="next" value=(next);
                label for="user" { "User" }
                input #user name="user" value=(user) required autofocus autocomplete="username" autocapitalize="none"
                    spellcheck="false";
                label for="password" { "Password" }
                input #password name="password" type="password" required autocomplete="current-password";
                button { "Log in" }
            }
        }
        div.card.narrow { (known_users()) }
    };
    page(status, main)
}

fn known_users() -> Markup {
    html! {
        h2 { "This is a demo" }
        p { "It knows two users, so that you can be either:" }
        div.scroll {
            table {
                thead { tr { th scope="col" { "User" } th scope="col" { "Password" } th scope="col" { "Is" } } }
                tbody {
                    @for user in &USERS {
                        tr {
                            td { code { (user.id) } }
                            td { code { (user.password) } }
                            td { (user.name) ", " (user.role) }
                        }
                    }
                }
            }
        }
    }
}

/// The body of the request is not the login form.
pub fn malformed_form(status: StatusCode) -> Response {
    let main = html! {
        div.card.narrow {
            h1 { "Not understood" }
            p { "That was no login form. " a href="/login" { "Log in" } " with this one." }
        }
    };
    page(status, main)
}

fn page(status: StatusCode, main: Markup) -> Response {
    Page { status, title: "Log in", assets: "/login", scripts: &[], banner: html! {}, main }.into_response()
}

//! Public pages. Their rule is `optional`: a user with a session is greeted by name.

use axum::extract::Path;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};

use super::frame::{login_link, not_found, page};
use crate::products::{self, PRODUCTS};
use crate::user::User;

pub async fn home(uri: Uri, user: Option<User>) -> Response {
    let main = html! {
        h1 { @match &user { Some(user) => { "Good to see you, " (user.name()) } None => "Tea, and who drinks it" } }
        p.quiet {
            "This shop has no session code. Who you are stands in two headers that only the filter in Envoy can set."
        }
        ul.cards {
            @for product in &PRODUCTS {
                li.card {
                    div class={ "swatch " (product.colour) } {}
                    h2 { a href={ "/products/" (product.id) } { (product.name) } }
                    p.price { (product.price) }
                }
            }
        }
        h2 { "What there is to try" }
        div.cards { (to_try("A member's page", "/account?tab=orders", "With a session, any."))
            (to_try("A fresh login", "/checkout", "One that is no older than ten minutes."))
            (to_try("The administrator's page", "/admin", "For the role admin alone: be Ada, then be Max.")) }
    };
    page("Shop", &uri, user.as_ref(), &[], main)
}

fn to_try(name: &str, path: &str, needs: &str) -> Markup {
    html! {
        div.card {
            h2 { a href=(path) { (name) } }
            p.quiet { (needs) }
        }
    }
}

pub async fn product(Path(id): Path<String>, uri: Uri, user: Option<User>) -> Response {
    let Some(product) = products::product(&id) else { return not_found(&uri, user.as_ref()) };
    let main = html! {
        div.card {
            div class={ "swatch " (product.colour) } {}
            h1 { (product.name) }
            p.price { (product.price) " for 100 g" }
            p { (product.text) }
            @match &user {
                Some(user) => p.note { "Shall we put it aside for you, " (user.name()) "? " a href="/checkout" { "To the checkout" } }
                None => p { a href=(login_link(&uri)) { "Log in" } " and we put it aside for you." }
            }
        }
    };
    page(product.name, &uri, user.as_ref(), &[], main)
}

pub async fn nothing_here(uri: Uri, user: Option<User>) -> Response {
    not_found(&uri, user.as_ref())
}

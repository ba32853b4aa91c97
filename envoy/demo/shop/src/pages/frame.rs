//! The banner of every page of the shop: navigation and the user.

use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use demo_web::Page;
use maud::{Markup, html};

use crate::user::User;

const LINKS: [(&str, &str); 3] = [("/account", "Account"), ("/checkout", "Checkout"), ("/admin", "Admin")];

pub fn page(title: &str, uri: &Uri, user: Option<&User>, scripts: &[&str], main: Markup) -> Response {
    response(StatusCode::OK, title, uri, user, scripts, main)
}

pub fn not_found(uri: &Uri, user: Option<&User>) -> Response {
    let main = html! {
        h1 { "Nothing here" }
        p { "There is no page at " code { (uri.path()) } ". " a href="/" { "To the shop" } }
    };
    response(StatusCode::NOT_FOUND, "Nothing here", uri, user, &[], main)
}

fn response(
    status: StatusCode,
    title: &str,
    uri: &Uri,
    user: Option<&User>,
    scripts: &[&str],
    main: Markup,
) -> Response {
    let banner = html! {
        nav aria-label="Main" {
            @for (path, name) in LINKS {
                a href=(path) aria-current=[(uri.path() == path).then_some("page")] { (name) }
            }
        }
        div.who {
            @match user {
                Some(user) => {
                    span #user { (user.name()) }
                    // The filter answers it: it ends the session and deletes the cookie.
                    form method="post" action="/logout" { button.plain { "Log out" } }
                }
                None => a.button.plain href=(login_link(uri)) { "Log in" }
            }
        }
    };
    Page { status, title, assets: "/static", scripts, banner, main }.into_response()
}

/// The URL of the login, which returns to this page.
pub fn login_link(uri: &Uri) -> String {
    let here = uri.path_and_query().map_or("/", |path| path.as_str());
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", here).finish();
    format!("/login?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_link_contains_this_page_with_its_query() {
        let uri = Uri::from_static("/products/1?size=l&colour=a%26b");
        assert_eq!(login_link(&uri), "/login?next=%2Fproducts%2F1%3Fsize%3Dl%26colour%3Da%2526b");
    }
}

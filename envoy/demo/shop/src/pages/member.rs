//! Pages for users with a session. The filter's rules decide who gets here; a page only needs a `User`.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{login_link, page};
use crate::products::PRODUCTS;
use crate::user::{DATA_HEADER, ID_HEADER, User};

pub async fn account(uri: Uri, user: User) -> Response {
    let main = html! {
        h1 { "Your account" }
        div.halves {
            section.card aria-labelledby="who" {
                h2 #who { "Who you are" }
                dl.facts {
                    dt { "Name" } dd #name { (user.name()) }
                    dt { "User" } dd { code { (user.id) } }
                    dt { "Role" } dd #role { (user.role().unwrap_or("none")) }
                    dt { "Logged in" } dd { (since(&user)) }
                }
            }
            section.card aria-labelledby="asked" {
                h2 #asked { "What you asked for" }
                (query_of(&uri))
            }
            section.card #api aria-labelledby="api-title" {
                h2 #api-title { "Asked by a script" }
                p { span.dot {} code { "GET /api/me" } ": " strong data-show="status" role="status" { "…" } }
                pre data-show="body" { "…" }
                p { button.plain type="button" { "Ask again" } " " a href=(login_link(&uri)) hidden { "Log in again" } }
                p.quiet { "Log out in another tab, then ask again: a script gets 401 in JSON, not a login page." }
            }
            section.card #ticks aria-labelledby="ticks-title" {
                h2 #ticks-title { "Told by a WebSocket" }
                p.tick data-show="tick" { "–" }
                p { span.dot {} span data-show="status" role="status" { "Connecting" } }
                p.quiet { "The filter lets it open for a live session alone, and closes it soon after that has ended." }
            }
        }
    };
    page("Account", &uri, Some(&user), &["/static/account.js"], main)
}

/// In UTC; the script of the page replaces it by the reader's local time.
fn since(user: &User) -> Markup {
    match user.auth_time().and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        Some(time) => html! { time datetime=(time) { (time.strftime("%Y-%m-%d %H:%M:%S UTC")) } },
        None => html! { "some time ago" },
    }
}

fn query_of(uri: &Uri) -> Markup {
    let pairs: Vec<_> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect();
    html! {
        p { code #url { (uri) } }
        @if pairs.is_empty() {
            p.quiet { "Without a query. With one, it survives the login: " a href="/account?tab=orders" { "try it" } "." }
        } @else {
            dl.facts { @for (name, value) in &pairs { dt { (name) } dd { (value) } } }
        }
    }
}

pub async fn checkout(uri: Uri, user: User) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok());
    let age = now.zip(user.auth_time()).map(|(now, then)| now.saturating_sub(then).max(0));
    let main = html! {
        h1 { "Checkout" }
        div.card {
            p {
                "You logged in " strong { @match age { Some(age) => { (age) " s ago" } None => "some time ago" } }
                ", which is recent enough: this page needs a login no older than ten minutes."
            }
            p { "With an older one you are asked to log in once more, and come back here." }
            p.quiet { "That is a rule of the filter; the page shows the time and checks nothing." }
        }
    };
    page("Checkout", &uri, Some(&user), &[], main)
}

pub async fn admin(uri: Uri, user: User, headers: HeaderMap) -> Response {
    let main = html! {
        h1 { "Administration" }
        div.halves {
            section.card aria-labelledby="stock" {
                h2 #stock { "In stock" }
                div.scroll {
                    table {
                        thead { tr { th scope="col" { "Tea" } th scope="col" { "Price" } th scope="col" { "Packets" } } }
                        tbody {
                            @for product in &PRODUCTS {
                                tr { td { (product.name) } td { (product.price) } td { (product.in_stock) } }
                            }
                        }
                    }
                }
            }
            section.card aria-labelledby="headers" {
                h2 #headers { "All that the shop knows of you" }
                dl.facts {
                    @for name in [ID_HEADER, DATA_HEADER] {
                        dt { (name) }
                        dd { code { (headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()) } }
                    }
                }
            }
        }
    };
    page("Administration", &uri, Some(&user), &[], main)
}

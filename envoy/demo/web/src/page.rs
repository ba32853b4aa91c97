//! The layout of every page: head, banner, main part.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// A page, as a response that is not stored.
pub struct Page<'a> {
    pub status: StatusCode,
    pub title: &'a str,
    /// The path of the folder with the style sheet and the icon: `{assets}/style.css`.
    pub assets: &'a str,
    /// Scripts, by their paths.
    pub scripts: &'a [&'a str],
    /// The banner's content beside the name of the shop.
    pub banner: Markup,
    pub main: Markup,
}

impl IntoResponse for Page<'_> {
    fn into_response(self) -> Response {
        let text = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Leaf & Kettle" }
                    link rel="icon" href={ (self.assets) "/icon.svg" } type="image/svg+xml";
                    link rel="stylesheet" href={ (self.assets) "/style.css" };
                    @for script in self.scripts {
                        script src=(script) defer {}
                    }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.banner {
                        div.inner {
                            a.brand href="/" {
                                img src={ (self.assets) "/icon.svg" } alt="" width="28" height="28";
                                "Leaf & Kettle"
                            }
                            (self.banner)
                        }
                    }
                    main #main { (self.main) }
                }
            }
        };
        let mut response = (self.status, Html(text.into_string())).into_response();
        no_store(&mut response);
        response
    }
}

/// For responses that name a user: after a logout, the browser's Back does not show them.
pub fn no_store(response: &mut Response) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

//! The frame of every page: head, banner, main part.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// A page, as a response that nobody keeps.
pub struct Page<'a> {
    pub status: StatusCode,
    pub title: &'a str,
    /// Where the service has the style sheet and the icon: `{assets}/style.css`.
    pub assets: &'a str,
    /// Scripts, by their paths.
    pub scripts: &'a [&'a str],
    /// What stands in the banner beside the name of the shop.
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

/// What names a user is kept by nobody: after logging out, Back shows nothing of it.
pub fn no_store(response: &mut Response) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

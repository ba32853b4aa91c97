//! The security headers of every response.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;

/// Scripts and styles are files; inline ones are blocked, which also blocks those in text that was not escaped. Framing
/// is denied.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// Adds the headers to every response of `app`. `form_targets` are the other origins that a form may lead to; browsers
/// check redirects after a form as well.
pub fn secured(app: Router, form_targets: &[String]) -> Router {
    let policy = form_targets.iter().fold(POLICY.to_owned(), |policy, origin| policy + " " + origin);
    // An origin is ASCII without control characters; the fallback is the stricter policy.
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(POLICY));
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // With `no-referrer`, browsers would send `Origin: null` with forms, which the filter refuses over plain http.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    app.layer(map_response(move |mut response: Response| {
        let headers = headers.clone();
        async move {
            response.headers_mut().extend(headers);
            response
        }
    }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;

    async fn answer(form_targets: &[String]) -> Response {
        secured(Router::new(), form_targets).oneshot(Request::new(Body::empty())).await.unwrap()
    }

    #[tokio::test]
    async fn every_response_has_them_also_404() {
        let answer = answer(&[]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["referrer-policy"], "same-origin");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && policy.ends_with("form-action 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[tokio::test]
    async fn a_form_may_lead_to_the_origins_that_are_listed() {
        let answer = answer(&["https://shop.example.com".to_owned()]).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.ends_with("form-action 'self' https://shop.example.com"), "{policy}");
    }
}

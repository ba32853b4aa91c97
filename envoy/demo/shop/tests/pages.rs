//! The responses of the shop, with and without the two headers of the filter.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

const MEMBER_PAGES: [&str; 4] = ["/account", "/checkout", "/admin", "/api/me"];
const PUBLIC_PAGES: [&str; 3] = ["/", "/products/1", "/nowhere"];

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn answer(request: Request<Body>) -> Answer {
    let (parts, body) = shop::router().oneshot(request).await.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, text }
}

async fn without_session(uri: &str) -> Answer {
    answer(Request::get(uri).body(Body::empty()).unwrap()).await
}

async fn to_user(uri: &str, id: &str, data: &str) -> Answer {
    let request = Request::get(uri).header("x-session-user", id).header("x-session-data", data);
    answer(request.body(Body::empty()).unwrap()).await
}

async fn to_max(uri: &str) -> Answer {
    to_user(uri, "max", r#"{"name":"Max Planck","role":"member","auth_time":1700000000}"#).await
}

#[tokio::test]
async fn public_pages_greet_a_user_by_name_and_offer_others_to_log_in() {
    for uri in ["/", "/products/1"] {
        let page = to_max(uri).await.text;
        assert!(page.contains("Max Planck") && page.contains(r#"action="/logout""#), "{page}");
        assert!(!page.contains("Log in"), "{page}");
        let page = without_session(uri).await.text;
        assert!(page.contains("Log in") && page.contains("/login?next="), "{page}");
        assert!(!page.contains("/logout"), "{page}");
    }
}

#[tokio::test]
async fn the_account_shows_name_role_login_time_and_the_query_of_the_request() {
    let page = to_max("/account?tab=orders&q=a%26b").await.text;
    for part in ["Max Planck", "member", r#"datetime="2023-11-14T22:13:20Z""#, "/account?tab=orders&amp;q=a%26b"] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(page.contains("<dt>q</dt><dd>a&amp;b</dd>"), "{page}");
}

#[tokio::test]
async fn the_checkout_shows_how_old_the_login_is() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let page = to_user("/checkout", "max", &format!(r#"{{"auth_time":{}}}"#, now - 90)).await.text;
    // A second may have gone by.
    assert!(page.contains("90 s ago") || page.contains("91 s ago"), "{page}");
}

#[tokio::test]
async fn the_api_answers_in_json() {
    let me = to_user("/api/me", "j%C3%BCrgen", "{}").await;
    assert_eq!(me.text, r#"{"user":"jürgen","name":"jürgen","role":null,"auth_time":null}"#);
    assert_eq!(me.headers["content-type"], "application/json");
    assert_eq!(
        to_max("/api/me").await.text,
        r#"{"user":"max","name":"Max Planck","role":"member","auth_time":1700000000}"#
    );
}

#[tokio::test]
async fn no_page_is_stored_by_browsers_since_back_would_show_it_after_a_logout() {
    for uri in MEMBER_PAGES.into_iter().chain(PUBLIC_PAGES) {
        assert_eq!(to_max(uri).await.headers["cache-control"], "no-store", "{uri}");
    }
    let style = without_session("/static/style.css").await;
    assert_eq!(style.headers["cache-control"], "public, max-age=300");
}

#[tokio::test]
async fn a_member_page_without_the_headers_is_answered_500_since_the_setup_is_wrong() {
    for uri in MEMBER_PAGES {
        let answer = without_session(uri).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{uri}");
        assert!(answer.text.contains("Ask Envoy instead"), "{uri}: {}", answer.text);
    }
}

#[tokio::test]
async fn headers_and_queries_are_escaped_in_pages() {
    let name = r#"{"name":"<script>alert(1)</script>"}"#;
    for uri in MEMBER_PAGES.into_iter().chain(PUBLIC_PAGES).filter(|uri| !uri.starts_with("/api")) {
        let page = to_user(uri, "%3Cscript%3E", name).await.text;
        assert!(!page.contains("<script>"), "{page}");
    }
    let page = to_max("/account?%3Cb%3E=%3Ci%3E").await.text;
    assert!(page.contains("<dt>&lt;b&gt;</dt><dd>&lt;i&gt;</dd>"), "{page}");
}

#[tokio::test]
async fn pages_comply_with_their_content_security_policy() {
    for uri in MEMBER_PAGES.into_iter().chain(PUBLIC_PAGES) {
        let page = to_max(uri).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        for inline in ["<style", " style=", " onclick=", "javascript:", "<script>"] {
            assert!(!page.text.contains(inline), "{uri} has {inline}");
        }
    }
}

#[tokio::test]
async fn every_file_that_pages_reference_exists() {
    for uri in ["/static/style.css", "/static/icon.svg", "/static/account.js", "/favicon.ico", "/static/%73tyle.css"] {
        assert_eq!(without_session(uri).await.status, StatusCode::OK, "{uri}");
    }
    assert_eq!(without_session("/static/other.css").await.status, StatusCode::NOT_FOUND);
    assert_eq!(without_session("/products/9").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_shop_has_no_logout_route() {
    let request = Request::post("/logout").body(Body::empty()).unwrap();
    assert_eq!(answer(request).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn below_seen_the_response_is_the_request_as_it_arrived() {
    for method in [Method::GET, Method::POST, Method::DELETE, Method::from_bytes(b"PURGE").unwrap()] {
        let request = Request::builder().method(&method).uri("/seen/a/b?c=d").header("x-session-user", "max");
        let seen = answer(request.body(Body::from("ignored")).unwrap()).await;
        assert_eq!(seen.text, format!("{method} /seen/a/b?c=d HTTP/1.1\nx-session-user: max\n"));
        assert_eq!(seen.headers["content-type"], "text/plain; charset=utf-8");
    }
}

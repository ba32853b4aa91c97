//! Logging in, with the router of rest-sessions as the session service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use accounts::login::{Login, router};
use accounts::sessions::Sessions;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use rest_sessions::api::{self, Api, Endpoints, Timing};
use rest_sessions::clock::Clock;
use rest_sessions::metrics::{MeteredStore, Metrics};
use rest_sessions::serve::Drain;
use rest_sessions::store::{MemoryStore, Store};
use serde_json::{Value, json};
use test_support::ports::RefusingPort;
use test_support::serve::serve;
use test_support::token;
use tower::ServiceExt;

const ADA: &str = "user=ada&password=engine";
const FORM: &str = "application/x-www-form-urlencoded";

/// The login, and the rest-sessions that it calls.
struct System {
    login: Router,
    sessions: Router,
}

impl System {
    async fn start() -> Self {
        let store = Store::Memory(MemoryStore::new(1 << 20, 1 << 18, Clock::system()).into());
        let metrics = Arc::new(Metrics::new().unwrap());
        let timing = Timing { body_timeout: Duration::from_secs(5), slow_request: None };
        let api = Api::new(MeteredStore::new(store, Arc::clone(&metrics)), metrics, Drain::default(), timing);
        let sessions = Router::new().fallback_service(api::router(Arc::new(api), Endpoints::Sessions));
        Self { login: login_at(serve(sessions.clone()).await), sessions }
    }

    async fn post(&self, form: &str, headers: &[(&str, &str)]) -> Response<Body> {
        post(&self.login, form, headers).await
    }

    async fn session(&self, token: &str) -> Value {
        let request = Request::get(format!("/mywebapp/get/{token}")).body(Body::empty()).unwrap();
        let answer = self.sessions.clone().oneshot(request).await.unwrap();
        serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }
}

fn login_at(address: SocketAddr) -> Router {
    login_with(address, None)
}

fn login_with(address: SocketAddr, authorization: Option<HeaderValue>) -> Router {
    let url = format!("http://{address}").parse().unwrap();
    let sessions = Sessions::new(url, "mywebapp".to_owned(), authorization).unwrap();
    router(Login { sessions, return_to: vec!["http://localhost:10000".parse().unwrap()] })
}

async fn send(login: &Router, mut request: Request<Body>) -> Response<Body> {
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4711))));
    login.clone().oneshot(request).await.unwrap()
}

async fn get(login: &Router, uri: &str) -> Response<Body> {
    send(login, Request::get(uri).body(Body::empty()).unwrap()).await
}

async fn post(login: &Router, form: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::post("/login").header(header::CONTENT_TYPE, FORM);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(login, request.body(Body::from(form.to_owned())).unwrap()).await
}

async fn text(answer: Response<Body>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn token_of(answer: &Response<Body>) -> String {
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    cookie.strip_prefix("session-cookie=").unwrap()[..64].to_owned()
}

#[tokio::test]
async fn the_form_keeps_the_url_that_the_login_returns_to() {
    let system = System::start().await;
    let answer = get(&system.login, "/login?next=http%3A%2F%2Flocalhost%3A10000%2Faccount%3Fa%3D1%26b%3D%22").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    // Browsers apply form-action to the redirect after a form as well.
    assert!(policy.contains("form-action 'self' http://localhost:10000"), "{policy}");
    let page = text(answer).await;
    assert!(page.contains(r#"name="next" value="http://localhost:10000/account?a=1&amp;b=%22""#), "{page}");
}

#[tokio::test]
async fn the_form_replaces_a_url_of_another_origin_by_the_home_page() {
    let system = System::start().await;
    for query in ["?next=https%3A%2F%2Fevil.example%2F", "?next=%2F%2Fevil.example", "?next=%ff", "?other", ""] {
        let page = text(get(&system.login, &format!("/login{query}")).await).await;
        assert!(page.contains(r#"name="next" value="/""#), "{query}: {page}");
    }
}

#[tokio::test]
async fn a_login_creates_a_session_with_the_data_that_the_rules_require_and_sets_its_cookie() {
    let system = System::start().await;
    let answer = system.post(&format!("{ADA}&next=%2Faccount%3Ftab%3Dorders"), &[]).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[header::LOCATION], "/account?tab=orders");
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    for attribute in ["; HttpOnly", "; Secure", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{attribute} is missing");
    }
    assert!(!cookie.contains("Domain"), "the cookie is for this host alone");

    let session = system.session(&token_of(&answer)).await;
    let auth_time = session["d"]["auth_time"].as_u64().unwrap();
    assert_eq!(session["id"], "ada");
    assert_eq!(session["d"], json!({"name": "Ada Lovelace", "role": "admin", "auth_time": auth_time}));
    let now = Clock::system().seconds().unsigned_abs();
    assert!(now - auth_time < 60, "auth_time is {auth_time}, and now is {now}");
}

#[tokio::test]
async fn the_session_has_the_address_of_the_client_from_envoys_headers() {
    let system = System::start().await;
    let answer = system.post(ADA, &[("x-forwarded-for", "192.0.2.66, 198.51.100.7")]).await;
    assert_eq!(system.session(&token_of(&answer)).await["ip"], "198.51.100.7");
    let answer = system.post(ADA, &[]).await;
    assert_eq!(system.session(&token_of(&answer)).await["ip"], "127.0.0.1");
}

#[tokio::test]
async fn a_login_never_returns_to_another_origin() {
    let system = System::start().await;
    for next in ["https://evil.example/", "//evil.example", "/%5Cevil.example", "javascript:alert(1)"] {
        let answer = system.post(&format!("{ADA}&next={next}"), &[]).await;
        assert_eq!(answer.headers()[header::LOCATION], "/", "{next}");
    }
    let answer = system.post(&format!("{ADA}&next=http://localhost:10000/account"), &[]).await;
    assert_eq!(answer.headers()[header::LOCATION], "http://localhost:10000/account");
}

#[tokio::test]
async fn a_second_login_gets_a_new_token_and_ends_the_session_that_the_browser_had() {
    let system = System::start().await;
    let first = token_of(&system.post(ADA, &[]).await);
    let elsewhere = token_of(&system.post(ADA, &[]).await);
    let cookie = format!("theme=dark; session-cookie={first}");
    let second = token_of(&system.post("user=max&password=quantum", &[("cookie", &cookie)]).await);
    assert_ne!(first, second);
    assert_eq!(system.session(&first).await, json!({}));
    assert_eq!(system.session(&second).await["id"], "max");
    assert_eq!(system.session(&elsewhere).await["id"], "ada");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_page_and_end_no_session() {
    let system = System::start().await;
    let token = token_of(&system.post(ADA, &[]).await);
    let cookie = format!("session-cookie={token}");
    let mut pages = Vec::new();
    for user in ["ada", "eve"] {
        let form = format!("user={user}&password=wrong&next=%2Faccount");
        let answer = system.post(&form, &[("cookie", &cookie)]).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert!(!answer.headers().contains_key(header::SET_COOKIE));
        let page = text(answer).await;
        assert!(page.contains(r#"name="next" value="/account""#), "{page}");
        assert!(!page.contains("wrong\""), "the password is not sent back");
        pages.push(page.replace(&format!(r#"value="{user}""#), ""));
    }
    assert_eq!(pages[0], pages[1]);
    assert_eq!(system.session(&token).await["id"], "ada");
}

#[tokio::test]
async fn input_is_escaped_in_the_page() {
    let system = System::start().await;
    let page = text(system.post("user=%22%3E%3Cscript%3E&password=x", &[]).await).await;
    assert!(page.contains(r#"value="&quot;&gt;&lt;script&gt;""#), "{page}");
}

#[tokio::test]
async fn while_rest_sessions_is_unavailable_a_login_is_answered_503_and_sets_no_cookie() {
    let port = RefusingPort::reserve();
    let answer = post(&login_at(port.address()), ADA, &[]).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
    assert!(!answer.headers().contains_key(header::SET_COOKIE));
    assert!(text(answer).await.contains("Logging in is not possible at the moment"));
}

#[tokio::test]
async fn every_call_has_the_secret_and_a_refused_one_is_answered_503() {
    let token = token::fresh();
    let body = json!({"token": token, "kill": 1}).to_string();
    let stub = Router::new().fallback(move |headers: HeaderMap| {
        let known = headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Bearer right");
        let answer = (if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED }, body.clone());
        async move { answer }
    });
    let address = serve(stub).await;
    let cookie = format!("session-cookie={}", token::fresh());
    for (secret, status) in [
        (Some("Bearer right"), StatusCode::SEE_OTHER),
        (Some("Bearer wrong"), StatusCode::SERVICE_UNAVAILABLE),
        (None, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let login = login_with(address, secret.map(HeaderValue::from_static));
        let answer = post(&login, ADA, &[("cookie", &cookie)]).await;
        assert_eq!(answer.status(), status, "{secret:?}");
        assert_eq!(answer.headers().contains_key(header::SET_COOKIE), status == StatusCode::SEE_OTHER, "{secret:?}");
    }
}

#[tokio::test]
async fn a_response_without_a_valid_token_sets_no_cookie() {
    for body in [r#"{"token":"short"}"#, r#"{"token":"; Domain=example"}"#, "{}", "no JSON", ""] {
        let stub = Router::new().fallback(move || async move { body });
        let answer = post(&login_at(serve(stub).await), ADA, &[]).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert!(!answer.headers().contains_key(header::SET_COOKIE), "{body}");
    }
}

#[tokio::test]
async fn a_malformed_login_form_is_refused_with_a_page() {
    let system = System::start().await;
    for (form, status) in
        [("user=ada", StatusCode::UNPROCESSABLE_ENTITY), (&"a".repeat(70_000) as &str, StatusCode::PAYLOAD_TOO_LARGE)]
    {
        let answer = system.post(form, &[]).await;
        assert_eq!(answer.status(), status);
        assert!(text(answer).await.contains("no login form"));
    }
}

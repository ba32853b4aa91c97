//! The routes: the login page and its form.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Form, Router};
use serde::Deserialize;

use crate::client_address::client_address;
use crate::pages::{self, Problem};
use crate::return_to::{self, Origin};
use crate::session_cookie;
use crate::sessions::Sessions;
use crate::users::authenticate;

/// Room for a name, a password, and a URL of the maximum length in Envoy.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The state of the routes.
#[derive(Debug, Clone)]
pub struct Login {
    pub sessions: Sessions,
    /// The origins that a login may return to.
    pub return_to: Vec<Origin>,
}

pub fn router(login: Login) -> Router {
    let origins: Vec<String> = login.return_to.iter().map(Origin::serialized).collect();
    let routes = Router::new()
        .route("/login", get(show_form).post(log_in))
        .route("/login/style.css", get(demo_web::STYLE))
        .route("/login/icon.svg", get(demo_web::ICON))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(login);
    demo_web::secured(routes, &origins)
}

#[derive(Deserialize)]
struct FormQuery {
    #[serde(default)]
    next: String,
}

async fn show_form(State(login): State<Login>, query: Result<Query<FormQuery>, QueryRejection>) -> Response {
    // A malformed query counts as one without `next`.
    let next = query.map(|Query(query)| query.next).unwrap_or_default();
    pages::form(&return_to::checked(&next, &login.return_to), "", None)
}

#[derive(Deserialize)]
struct LoginForm {
    user: String,
    password: String,
    #[serde(default)]
    next: String,
}

async fn log_in(
    State(login): State<Login>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Response {
    let form = match form {
        Ok(Form(form)) => form,
        Err(rejection) => return pages::malformed_form(rejection.status()),
    };
    let next = return_to::checked(&form.next, &login.return_to);
    let Some(user) = authenticate(&form.user, &form.password) else {
        return pages::form(&next, &form.user, Some(Problem::Refused));
    };
    let ip = client_address(&headers, peer.ip());
    // Always a new token, against session fixation: another party may know the token that the browser has.
    let created = login.sessions.create(user, ip, unix_seconds()).await;
    let cookie = match created {
        Ok(token) => session_cookie::set(&token),
        Err(problem) => {
            tracing::warn!(user = user.id, %problem, "no session was created");
            return unavailable(&next, user.id);
        }
    };
    let (Some(cookie), Ok(location)) = (cookie, HeaderValue::try_from(next)) else {
        // Unreachable: a checked URL and a valid token are ASCII.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    end_old_sessions(&login.sessions, &headers).await;
    tracing::info!(user = user.id, "logged in");
    let no_store = HeaderValue::from_static("no-store");
    let answer = [(header::LOCATION, location), (header::SET_COOKIE, cookie), (header::CACHE_CONTROL, no_store)];
    (StatusCode::SEE_OTHER, answer).into_response()
}

/// Ends the sessions of the tokens that the browser had, because other parties may know them. This happens after the
/// login, so that a failed login leaves the old session intact; a failure to end one does not affect the new session.
/// Unlike a logout at the filter, filters notice it when their cached copy is older than `cache.ttl`.
async fn end_old_sessions(sessions: &Sessions, headers: &HeaderMap) {
    for token in session_cookie::tokens(headers) {
        if let Err(problem) = sessions.kill(&token).await {
            tracing::warn!(%problem, "an earlier session was not ended; it expires when it has been idle for its ttl");
        }
    }
}

fn unavailable(next: &str, user: &str) -> Response {
    let mut page = pages::form(next, user, Some(Problem::Unavailable));
    page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    page
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

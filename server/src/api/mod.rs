//! The endpoints: each reads its parameters in the original's order, asks the store, and answers.

mod answer;
mod body;
mod error;
mod request;

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use tower::util::MapRequest;

use self::answer::{Activity, Created, Killed, Sessions};
use self::body::JsonBody;
pub use self::error::ApiError;
use self::request::{Query, Target, normalize};
use crate::clock::Clock;
use crate::data::{Change, Data};
use crate::params::{self, App};
use crate::store::{NewSession, Store};
use crate::token::Token;

/// What every endpoint works with.
#[derive(Clone)]
pub struct Api {
    pub store: Store,
    pub clock: Clock,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

type Answer = Result<Response, ApiError>;

pub fn router(api: Api) -> Router {
    let endpoints = Router::new()
        .route("/ping", get(ping))
        .route("/{app}/create/{id}", put(create))
        .route("/{app}/get/{token}", get(read))
        .route("/{app}/set/{token}", post(set))
        .route("/{app}/kill/{token}", delete(kill))
        .route("/{app}/killsoid/{id}", delete(kill_user))
        .route("/{app}/killall", delete(kill_all))
        .route("/{app}/activity", get(activity))
        .route("/{app}/soapp", get(recent))
        .route("/{app}/soid/{id}", get(of_user))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(from_fn(log_request))
        .with_state(api);
    Router::new().fallback_service(MapRequest::new(endpoints, normalize))
}

/// Logs the route's pattern and never the path, which holds the token.
async fn log_request(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let began = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    let micros = began.elapsed().as_micros();
    tracing::debug!(%method, route, status = response.status().as_u16(), micros, "request");
    response
}

async fn not_found() -> ApiError {
    ApiError::NotFound
}

async fn ping(State(api): State<Api>) -> Answer {
    api.store.ping().await?;
    Ok(answer::text(StatusCode::OK, "PONG"))
}

async fn create(
    State(api): State<Api>,
    Target((app, id)): Target<(String, String)>,
    query: Query,
    JsonBody(body): JsonBody,
) -> Answer {
    let app = App::parse(&app)?;
    let id = params::id(&id)?;
    let ip = params::ip(query.get("ip").as_deref())?;
    let ttl = params::ttl(query.get("ttl").as_deref())?;
    let mut data = Data::default();
    if let Some(body) = body.filter(|body| !is_empty(body.get())) {
        data.apply(&Change::parse(&body)?);
    }
    let token = Token::generate(api.clock.millis()).map_err(|_| ApiError::NoRandomness)?;
    api.store.create(&app, &token, NewSession { id, ip, ttl, data }, api.clock.seconds()).await?;
    Ok(answer::json(StatusCode::OK, &Created { token: token.as_str() }))
}

/// `{}` and `[]` are no data at all when a session is created.
fn is_empty(body: &str) -> bool {
    matches!(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).nth(1), Some(b'}' | b']'))
}

async fn read(State(api): State<Api>, Target((app, token)): Target<(String, String)>) -> Answer {
    let (app, token) = (App::parse(&app)?, Token::parse(&token)?);
    let session = api.store.get(&app, &token, api.clock.seconds()).await?;
    Ok(answer::session(session.as_ref()))
}

async fn set(
    State(api): State<Api>,
    Target((app, token)): Target<(String, String)>,
    JsonBody(body): JsonBody,
) -> Answer {
    let (app, token) = (App::parse(&app)?, Token::parse(&token)?);
    let change = match body {
        Some(body) => Change::parse(&body)?,
        None => return Err(Change::nothing().into()),
    };
    let session = api.store.set(&app, &token, &change, api.clock.seconds()).await?;
    Ok(answer::session(session.as_ref()))
}

async fn kill(State(api): State<Api>, Target((app, token)): Target<(String, String)>) -> Answer {
    let (app, token) = (App::parse(&app)?, Token::parse(&token)?);
    killed(api.store.kill(&app, &token, api.clock.seconds()).await?)
}

async fn kill_user(State(api): State<Api>, Target((app, id)): Target<(String, String)>) -> Answer {
    let (app, id) = (App::parse(&app)?, params::id(&id)?);
    killed(api.store.kill_user(&app, &id).await?)
}

async fn kill_all(State(api): State<Api>, Target(app): Target<String>) -> Answer {
    killed(api.store.kill_all(&App::parse(&app)?).await?)
}

fn killed(kill: u64) -> Answer {
    Ok(answer::json(StatusCode::OK, &Killed { kill }))
}

async fn activity(State(api): State<Api>, Target(app): Target<String>, query: Query) -> Answer {
    let app = App::parse(&app)?;
    let since = since(&api, &query)?;
    let activity = api.store.active_users(&app, since).await?;
    Ok(answer::json(StatusCode::OK, &Activity { activity }))
}

async fn recent(State(api): State<Api>, Target(app): Target<String>, query: Query) -> Answer {
    let app = App::parse(&app)?;
    let since = since(&api, &query)?;
    let sessions = api.store.recent(&app, since, api.clock.seconds()).await?;
    Ok(answer::json(StatusCode::OK, &Sessions { sessions }))
}

fn since(api: &Api, query: &Query) -> Result<i64, ApiError> {
    let dt = params::dt(query.get("dt").as_deref())?;
    Ok(api.clock.seconds().saturating_sub(dt))
}

async fn of_user(State(api): State<Api>, Target((app, id)): Target<(String, String)>) -> Answer {
    let (app, id) = (App::parse(&app)?, params::id(&id)?);
    let sessions = api.store.of_user(&app, &id, api.clock.seconds()).await?;
    Ok(answer::json(StatusCode::OK, &Sessions { sessions }))
}

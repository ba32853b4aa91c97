//! The HTTP endpoints. Each validates its parameters in the order of the original, calls the store, and responds.

mod body;
mod error;
mod request;
mod response;

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use tower::util::MapRequest;

use self::body::JsonBody;
pub use self::error::{ApiError, error_response};
use self::request::{PathParams, QueryParams, normalize};
use self::response::{Activity, Created, Killed, Sessions};
use crate::data::{Change, Data};
use crate::params::{self, App};
use crate::store::{Lookup, NewSession, Read, Store};
use crate::token::Token;

/// The state of every endpoint.
#[derive(Clone)]
pub struct Api {
    pub store: Store,
    /// The time for a request body to arrive.
    pub body_timeout: Duration,
}

type ApiResult = Result<Response, ApiError>;

/// Serves the wire contract.
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
        .route("/{app}/soapp", get(app_sessions))
        .route("/{app}/soid/{id}", get(user_sessions))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(from_fn(log_request))
        .with_state(api);
    Router::new().fallback_service(MapRequest::new(endpoints, normalize))
}

/// Logs the pattern of the route instead of the path, which contains the token.
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

async fn ping(State(api): State<Api>) -> ApiResult {
    api.store.ping().await?;
    Ok(response::text(StatusCode::OK, "PONG"))
}

async fn create(
    State(api): State<Api>,
    PathParams((app, id)): PathParams<(String, String)>,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult {
    let app = App::parse(&app)?;
    let id = params::id(&id)?;
    let ip = params::ip(query.get("ip").as_deref())?;
    let ttl = params::ttl(query.get("ttl").as_deref())?;
    let mut data = Data::default();
    if let Some(body) = body.filter(|body| !is_empty(body.get())) {
        data.apply(&Change::parse(&body)?);
    }
    let token = api.store.create(&app, NewSession { id, ip, ttl, data }).await?;
    Ok(response::json(StatusCode::OK, &Created { token: token.as_str() }))
}

/// When a session is created, `{}` and `[]` count as no data.
fn is_empty(body: &str) -> bool {
    matches!(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).nth(1), Some(b'}' | b']'))
}

async fn read(
    State(api): State<Api>,
    PathParams((app, token)): PathParams<(String, String)>,
    query: QueryParams,
) -> ApiResult {
    let (app, token) = (App::parse(&app)?, Token::parse(&token)?);
    let read = Read {
        touch: params::touch(query.get("touch").as_deref())?,
        max_idle: params::max_idle(query.get("max_idle").as_deref())?,
    };
    match api.store.get(&app, &token, read).await? {
        Lookup::Active { session, .. } => Ok(response::session(Some(&session))),
        Lookup::Ended | Lookup::Missing => Ok(response::session(None)),
    }
}

async fn set(
    State(api): State<Api>,
    PathParams((app, token)): PathParams<(String, String)>,
    JsonBody(body): JsonBody,
) -> ApiResult {
    let (app, token) = (App::parse(&app)?, Token::parse(&token)?);
    let change = match body {
        Some(body) => Change::parse(&body)?,
        None => return Err(Change::empty_error().into()),
    };
    let session = api.store.set(&app, &token, change).await?;
    Ok(response::session(session.as_ref()))
}

async fn kill(State(api): State<Api>, PathParams((app, token)): PathParams<(String, String)>) -> ApiResult {
    let (app, token) = (App::parse(&app)?, Token::parse(&token)?);
    killed(api.store.kill(&app, &token).await?)
}

async fn kill_user(State(api): State<Api>, PathParams((app, id)): PathParams<(String, String)>) -> ApiResult {
    let (app, id) = (App::parse(&app)?, params::id(&id)?);
    killed(api.store.kill_user(&app, &id).await?)
}

async fn kill_all(State(api): State<Api>, PathParams(app): PathParams<String>) -> ApiResult {
    killed(api.store.kill_all(&App::parse(&app)?).await?)
}

fn killed(kill: u64) -> ApiResult {
    Ok(response::json(StatusCode::OK, &Killed { kill }))
}

async fn activity(State(api): State<Api>, PathParams(app): PathParams<String>, query: QueryParams) -> ApiResult {
    let app = App::parse(&app)?;
    let dt = params::dt(query.get("dt").as_deref())?;
    let activity = api.store.active_users(&app, dt).await?;
    Ok(response::json(StatusCode::OK, &Activity { activity }))
}

async fn app_sessions(State(api): State<Api>, PathParams(app): PathParams<String>, query: QueryParams) -> ApiResult {
    let app = App::parse(&app)?;
    let dt = params::dt(query.get("dt").as_deref())?;
    let sessions = api.store.app_sessions(&app, dt).await?;
    Ok(response::json(StatusCode::OK, &Sessions { sessions }))
}

async fn user_sessions(State(api): State<Api>, PathParams((app, id)): PathParams<(String, String)>) -> ApiResult {
    let (app, id) = (App::parse(&app)?, params::id(&id)?);
    let sessions = api.store.user_sessions(&app, &id).await?;
    Ok(response::json(StatusCode::OK, &Sessions { sessions }))
}

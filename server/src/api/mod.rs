//! The HTTP endpoints. Each validates its parameters in the order of the original, calls the store, and responds.

mod body;
mod error;
mod exposition;
mod health;
mod ids;
mod request;
mod response;
mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use serde_json::value::RawValue;
use tower::util::MapRequest;

use self::body::JsonBody;
pub use self::error::{ApiError, error_response};
use self::health::Readiness;
use self::request::{PathParams, QueryParams, normalize};
use self::response::{Activity, Created, Killed};
use self::telemetry::Observe;
pub use self::telemetry::{Observation, Telemetry};
use crate::data::{Change, Data};
use crate::metrics::{MeteredStore, Metrics};
use crate::params::{self, App};
use crate::serve::Drain;
use crate::store::{Lookup, NewSession, Read};
use crate::token::Token;

/// The state of every endpoint, shared by the listeners.
pub struct Api {
    store: MeteredStore,
    metrics: Arc<Metrics>,
    drain: Drain,
    readiness: Readiness,
    timing: Timing,
}

#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// For a request body to arrive.
    pub body_timeout: Duration,
    /// A request that takes so long is logged as slow; `None` logs none.
    pub slow_request: Option<Duration>,
}

impl Api {
    pub fn new(store: MeteredStore, metrics: Arc<Metrics>, drain: Drain, timing: Timing) -> Self {
        Self { store, metrics, drain, readiness: Readiness::default(), timing }
    }
}

/// What a listener serves beside `/livez` and `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoints {
    /// The wire contract and `/metrics`.
    All,
    /// The wire contract.
    Sessions,
    /// `/metrics`.
    Admin,
}

type ApiResult = Result<Response, ApiError>;

/// An endpoint, with the pattern of its path. Patterns of one segment cannot hide an app: those have two or more.
type Route = (&'static str, MethodRouter<Arc<Api>>);

/// The route of requests to no endpoint, in metrics and logs.
const UNKNOWN: &str = "unknown";

fn probes() -> [Route; 2] {
    [("/livez", get(health::livez)), ("/readyz", get(health::readyz))]
}

fn contract() -> [Route; 11] {
    [
        ("/ping", get(ping)),
        ("/{app}/create/{id}", put(create)),
        ("/{app}/get/{token}", get(read)),
        ("/{app}/set/{token}", post(set)),
        ("/{app}/renew/{token}", post(renew)),
        ("/{app}/kill/{token}", delete(kill)),
        ("/{app}/killsoid/{id}", delete(kill_user)),
        ("/{app}/killall", delete(kill_all)),
        ("/{app}/activity", get(activity)),
        ("/{app}/soapp", get(app_sessions)),
        ("/{app}/soid/{id}", get(user_sessions)),
    ]
}

/// The endpoints of one listener, for paths as clients write them.
pub type Routes = MapRequest<Router, fn(Request) -> Request>;

/// The endpoints of one listener.
pub fn router(api: Arc<Api>, endpoints: Endpoints) -> Routes {
    let mut routes = Vec::from(probes());
    if endpoints != Endpoints::Admin {
        routes.extend(contract());
    }
    if endpoints != Endpoints::Sessions {
        routes.push(("/metrics", get(exposition::metrics)));
    }
    let observed = |pattern| {
        let telemetry = Telemetry::new(api.metrics.route(pattern), api.timing.slow_request);
        Observe(Arc::new(telemetry))
    };
    let mut router = Router::new().fallback(not_found.layer(observed(UNKNOWN)));
    for (pattern, endpoint) in routes {
        router = router.route(pattern, endpoint.fallback(not_found).layer(observed(pattern)));
    }
    MapRequest::new(router.with_state(api), normalize)
}

async fn not_found() -> ApiError {
    ApiError::NotFound
}

async fn ping(State(api): State<Arc<Api>>) -> ApiResult {
    api.store.ping().await?;
    Ok(response::text(StatusCode::OK, "PONG"))
}

async fn create(
    State(api): State<Arc<Api>>,
    PathParams((app, id)): PathParams<(String, String)>,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult {
    let app = App::parse(&app)?;
    let id = params::id(&id)?;
    let ip = params::ip(query.get("ip").as_deref())?;
    let ttl = params::ttl(query.get("ttl").as_deref())?;
    let mut data = Data::default();
    if let Some(change) = optional_change(body)? {
        data.apply(&change);
    }
    let token = api.store.create(&app, NewSession { id, ip, ttl, data }).await?;
    Ok(response::json(StatusCode::OK, &Created { token: token.as_str() }))
}

/// When a session is created or renewed, `{}` and `[]` count as no data.
fn optional_change(body: Option<Box<RawValue>>) -> Result<Option<Change>, ApiError> {
    Ok(body.filter(|body| !is_empty(body.get())).map(|body| Change::parse(&body)).transpose()?)
}

fn is_empty(body: &str) -> bool {
    matches!(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).nth(1), Some(b'}' | b']'))
}

async fn read(
    State(api): State<Arc<Api>>,
    PathParams((app, token)): PathParams<(String, String)>,
    query: QueryParams,
) -> ApiResult {
    let (app, token) = (App::parse(&app)?, Token::parse(&token)?);
    let read = Read {
        touch: params::touch(query.get("touch").as_deref())?,
        max_idle: params::max_idle(query.get("max_idle").as_deref())?,
    };
    let mut response = match api.store.get(&app, &token, read).await? {
        Lookup::Active { session, .. } => response::session(Some(&session)),
        Lookup::Ended | Lookup::Missing => response::session(None),
    };
    // The original ignores `max_idle`, so a caller must know whether it was enforced.
    if let Some(max_idle) = read.max_idle {
        response.headers_mut().insert(response::MAX_IDLE, max_idle.into());
    }
    Ok(response)
}

async fn set(
    State(api): State<Arc<Api>>,
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

async fn renew(
    State(api): State<Arc<Api>>,
    PathParams((app, token)): PathParams<(String, String)>,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult {
    let (app, token) = (App::parse(&app)?, Token::parse(&token)?);
    let others = params::others(query.get("others").as_deref())?;
    let change = optional_change(body)?;
    Ok(match api.store.renew(&app, &token, change, others).await? {
        Some(token) => response::json(StatusCode::OK, &Created { token: token.as_str() }),
        None => response::session(None),
    })
}

async fn kill(State(api): State<Arc<Api>>, PathParams((app, token)): PathParams<(String, String)>) -> ApiResult {
    let (app, token) = (App::parse(&app)?, Token::parse(&token)?);
    killed(api.store.kill(&app, &token).await?)
}

async fn kill_user(State(api): State<Arc<Api>>, PathParams((app, id)): PathParams<(String, String)>) -> ApiResult {
    let (app, id) = (App::parse(&app)?, params::id(&id)?);
    killed(api.store.kill_user(&app, &id).await?)
}

async fn kill_all(State(api): State<Arc<Api>>, PathParams(app): PathParams<String>) -> ApiResult {
    killed(api.store.kill_all(&App::parse(&app)?).await?)
}

fn killed(kill: u64) -> ApiResult {
    Ok(response::json(StatusCode::OK, &Killed { kill }))
}

async fn activity(State(api): State<Arc<Api>>, PathParams(app): PathParams<String>, query: QueryParams) -> ApiResult {
    let app = App::parse(&app)?;
    let dt = params::dt(query.get("dt").as_deref())?;
    let activity = api.store.active_users(&app, dt).await?;
    Ok(response::json(StatusCode::OK, &Activity { activity }))
}

async fn app_sessions(
    State(api): State<Arc<Api>>,
    PathParams(app): PathParams<String>,
    query: QueryParams,
) -> ApiResult {
    let app = App::parse(&app)?;
    let dt = params::dt(query.get("dt").as_deref())?;
    let sessions = api.store.app_sessions(&app, dt).await?;
    Ok(response::sessions(sessions).await)
}

async fn user_sessions(State(api): State<Arc<Api>>, PathParams((app, id)): PathParams<(String, String)>) -> ApiResult {
    let (app, id) = (App::parse(&app)?, params::id(&id)?);
    let sessions = api.store.user_sessions(&app, &id).await?;
    Ok(response::sessions(sessions).await)
}

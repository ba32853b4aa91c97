//! What these tests share: the service over either store with a clock that a test advances, and the program.

#![allow(dead_code, reason = "each test binary uses a part of this module")]

pub mod certificates;
pub mod layout;
pub mod load;
pub mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use http_body_util::BodyExt;
use rest_sessions::access::{Guard, guard};
use rest_sessions::api::{Api, Endpoints, Timing, router};
use rest_sessions::clock::Clock;
use rest_sessions::metrics::{MeteredStore, Metrics};
use rest_sessions::serve::Drain;
use rest_sessions::store::{CredentialFiles, MemoryStore, RedisConfig, RedisStore, RedisUrl, Store, TimeSource};
use test_support::redis::RedisServer;
use test_support::wait::PATIENCE;
use tower::ServiceExt;

pub const NOW: u64 = 1_700_000_000;

/// The default of `--max-session-bytes`.
const MAX_SESSION_BYTES: usize = 262_144;

/// The value of a sample in Prometheus' text format. `name` includes its labels.
pub fn metric(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Reply {
    /// The token of a session that was created or renewed.
    pub fn token(&self) -> Option<String> {
        let token = self.body.strip_prefix(r#"{"token":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
        token.map(str::to_owned)
    }
}

/// The service over one store, called in this process.
#[derive(Clone)]
pub struct Service {
    router: Router,
    pub store: Store,
    /// The store as the endpoints use it.
    pub metered: MeteredStore,
    metrics: Arc<Metrics>,
    millis: Arc<AtomicU64>,
}

impl Service {
    pub fn memory() -> Self {
        Self::memory_of(1 << 24)
    }

    pub fn memory_of(bytes: usize) -> Self {
        Self::over(|clock| Store::Memory(Arc::new(MemoryStore::new(bytes, MAX_SESSION_BYTES, clock))))
    }

    pub fn redis(server: &RedisServer) -> Self {
        let url = RedisUrl::parse(&server.url()).unwrap();
        // No test over this service measures the timeout, and a busy machine is slow.
        Self::over(|clock| {
            let config = RedisConfig {
                url,
                files: CredentialFiles::default(),
                namespace: "rs".to_owned(),
                timeout: PATIENCE,
                max_session_bytes: MAX_SESSION_BYTES,
            };
            Store::Redis(Arc::new(RedisStore::new(config, TimeSource::Fixed(clock))))
        })
    }

    fn over(store: impl FnOnce(Clock) -> Store) -> Self {
        let millis = Arc::new(AtomicU64::new(NOW * 1000));
        let clock = Clock::new({
            let millis = Arc::clone(&millis);
            move || millis.load(Ordering::SeqCst)
        });
        let store = store(clock);
        let metrics = Arc::new(Metrics::new().unwrap());
        let metered = MeteredStore::new(store.clone(), Arc::clone(&metrics));
        let timing = Timing { body_timeout: Duration::from_secs(5), slow_request: None };
        let api = Api::new(metered.clone(), Arc::clone(&metrics), Drain::default(), timing);
        let routes = router(Arc::new(api), Endpoints::All);
        Self { router: Router::new().fallback_service(routes), store, metered, metrics, millis }
    }

    /// This service, with what is checked before each request.
    pub fn guarded(&self, by: Guard) -> Self {
        let guarded = guard(self.router.clone(), by, &self.metrics);
        Self { router: Router::new().fallback_service(guarded), ..self.clone() }
    }

    pub fn now(&self) -> i64 {
        i64::try_from(self.millis.load(Ordering::SeqCst) / 1000).unwrap()
    }

    pub fn advance(&self, seconds: u64) {
        self.millis.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let content_type = response.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(bytes.to_vec()).unwrap();
        Reply { status, content_type: content_type.unwrap_or_default(), body }
    }

    /// The headers of a response without a body in the request.
    pub async fn headers(&self, method: &str, uri: &str) -> HeaderMap {
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap().headers().clone()
    }

    pub async fn call(&self, method: &str, uri: &str) -> Reply {
        self.send(Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()).await
    }

    pub async fn call_with(&self, method: &str, uri: &str, body: impl Into<Body>) -> Reply {
        let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// The body of a response that has to be 200.
    pub async fn ok(&self, method: &str, uri: &str) -> String {
        let reply = self.call(method, uri).await;
        assert_eq!(reply.status, 200, "{method} {uri}: {reply:?}");
        reply.body
    }

    pub async fn create(&self, uri: &str, body: &str) -> String {
        let reply = self.call_with("PUT", uri, body.to_owned()).await;
        assert_eq!(reply.status, 200, "{uri}: {reply:?}");
        reply.token().unwrap_or_else(|| panic!("no token in {reply:?}"))
    }

    /// The new token of a session; `None` if there is no such session. A query may follow the token.
    pub async fn renew(&self, app: &str, token: &str, body: &str) -> Option<String> {
        let reply = self.call_with("POST", &format!("/{app}/renew/{token}"), body.to_owned()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.body == "{}" || reply.token().is_some(), "{reply:?}");
        reply.token()
    }

    pub async fn set(&self, app: &str, token: &str, body: &str) -> String {
        let reply = self.call_with("POST", &format!("/{app}/set/{token}"), body.to_owned()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body
    }

    pub async fn get(&self, app: &str, token: &str) -> String {
        self.ok("GET", &format!("/{app}/get/{token}")).await
    }

    pub async fn kill(&self, app: &str, token: &str) -> String {
        self.ok("DELETE", &format!("/{app}/kill/{token}")).await
    }
}

//! The program rest-sessions, over memory or over a Redis of its own.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use test_support::http1::Response;
use test_support::process::program_beside;
use test_support::redis::RedisServer;
use test_support::{rest_sessions, wait};

/// The app of every test that needs only one.
pub const APP: &str = "mywebapp";

/// A running rest-sessions.
pub struct RestSessions {
    program: rest_sessions::RestSessions,
    pub redis: Option<RedisServer>,
}

impl RestSessions {
    pub fn in_memory() -> Self {
        Self::start("memory", None)
    }

    pub fn over_redis() -> Self {
        let redis = RedisServer::start();
        Self::start(&redis.url(), Some(redis))
    }

    fn start(store: &str, redis: Option<RedisServer>) -> Self {
        let mut command = Command::new(program());
        command.args(["--listen", "127.0.0.1:0", "--store", store]);
        let program = rest_sessions::RestSessions::start(command);
        wait::until_true("rest-sessions to reach its store", || program.call("GET", "/ping", "").status == 200);
        Self { program, redis }
    }

    pub fn address(&self) -> SocketAddr {
        self.program.address()
    }

    /// Creates a session and returns its token.
    pub fn create(&self, id: &str, data: &Value) -> String {
        self.create_for(APP, id, data)
    }

    /// Creates a session of another app and returns its token.
    pub fn create_for(&self, app: &str, id: &str, data: &Value) -> String {
        self.program.create(app, id, data)
    }

    /// Calls rest-sessions itself, beside Envoy. The body counts as JSON.
    pub fn call(&self, method: &str, target: &str, body: &str) -> Response {
        self.program.call(method, target, body)
    }

    /// Ends a session.
    pub fn kill(&self, token: &str) {
        assert_eq!(self.call("DELETE", &format!("/{APP}/kill/{token}"), "").text(), r#"{"kill":1}"#);
    }

    /// Lets a session in Redis expire, by moving its last activity into the past.
    pub fn expire(&self, token: &str) {
        self.set_last_activity(token, 1_000_000_000);
    }

    /// Sets the last activity of a session in Redis, in seconds since 1970: in the session, and among the app's sessions.
    pub fn set_last_activity(&self, token: &str, seconds: u64) {
        let mut redis = self.redis.as_ref().expect("the store of this service is Redis").connection();
        let session = format!("rs:{APP}:{token}");
        let added: i64 = redis::cmd("HSET").arg(&session).arg("la").arg(seconds).query(&mut redis).unwrap();
        assert_eq!(added, 0, "the session has had a last activity");
        let id: String = redis::cmd("HGET").arg(&session).arg("id").query(&mut redis).unwrap();
        let mut command = redis::cmd("ZADD");
        let added: i64 = command
            .arg(format!("rs:{APP}:_sessions"))
            .arg(seconds)
            .arg(format!("{token}:{id}"))
            .query(&mut redis)
            .unwrap();
        assert_eq!(added, 0, "the session was one of the app's");
    }
}

/// The program; `REST_SESSIONS_BIN` names another one.
pub fn program() -> PathBuf {
    env::var_os("REST_SESSIONS_BIN").map_or_else(|| program_beside("rest-sessions"), PathBuf::from)
}

//! Two isolated tenants in one Envoy, each with its own store, app, cookie and login page.

use serde_json::{Value, json};

use crate::harness::envoy::Cluster;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::RestSessions;
use test_support::http1::Request;

struct Tenant {
    host: &'static str,
    app: &'static str,
    cookie: &'static str,
    login: &'static str,
    store: RestSessions,
}

impl Tenant {
    fn new(host: &'static str, app: &'static str, cookie: &'static str, login: &'static str) -> Self {
        Self { host, app, cookie, login, store: RestSessions::over_redis() }
    }

    fn rule(&self) -> Value {
        json!({
            "name": self.app,
            "match": {"hosts": [self.host]},
            "session": "required",
            "app": self.app,
            "rest_sessions": {"cluster": self.app, "authority": "rest-sessions", "timeout": "5s"},
            "token_from": [{"cookie": self.cookie}],
            "annotate": {"headers": {format!("x-{}-user", self.app): "id"}},
            "login": {"url": self.login},
        })
    }

    fn get(&self, cookies: &str) -> Request {
        Request::get("/account").host(self.host).header("cookie", cookies)
    }
}

fn tenants() -> [Tenant; 2] {
    [
        Tenant::new("red.example.com", "red", "red-session", "https://login.red.example.com/?to={url}"),
        Tenant::new("blue.example.com", "blue", "__Host-blue", "https://id.blue.example.com/start?back={url}"),
    ]
}

fn start(tenants: &[Tenant; 2]) -> Mesh {
    let [red, blue] = tenants;
    Setup::new(plugin(json!({
        "rules": [red.rule(), blue.rule()],
        "default": {"session": "off"},
        "cache": {"ttl": "1h"},
        "logout": {"path": "/logout"},
    })))
    .cluster(Cluster::new("red", red.store.address()))
    .cluster(Cluster::new("blue", blue.store.address()))
    .cluster(Cluster::refusing("rest-sessions"))
    .workers(2)
    .start()
}

#[test]
fn each_tenants_sessions_pass_only_at_its_own_host() {
    let tenants = tenants();
    let mesh = start(&tenants);
    let [red, blue] = &tenants;
    for (own, other) in [(red, blue), (blue, red)] {
        let token = own.store.create_for(own.app, "user1", &Value::Null);
        let received = mesh.passes(&own.get(&format!("{}={token}", own.cookie)));
        assert_eq!(received.header(&format!("x-{}-user", own.app)).as_deref(), Some("user1"));
        assert_eq!(received.header(&format!("x-{}-user", other.app)), None);
        assert_eq!(received.header("x-session-user"), None);
        // The other tenant denies the token under either tenant's cookie, cached or not.
        for cookie in [own.cookie, other.cookie] {
            mesh.denies(&other.get(&format!("{cookie}={token}")), 401, "session_required");
        }
        // The other tenant's annotation header is removed as well.
        let spoofed = own.get(&format!("{}={token}", own.cookie)).header(format!("x-{}-user", other.app), "root");
        assert_eq!(mesh.passes(&spoofed).header(&format!("x-{}-user", other.app)), None);
    }
}

#[test]
fn one_token_in_two_stores_is_two_sessions() {
    let tenants = tenants();
    let mesh = start(&tenants);
    let [red, blue] = &tenants;
    // The same token in both stores is two independent sessions.
    let token = red.store.create_for(red.app, "red-user", &Value::Null);
    let mut redis = blue.store.redis.as_ref().expect("this service uses Redis").connection();
    let twin = blue.store.create_for(blue.app, "blue-user", &Value::Null);
    let mut rename = redis::cmd("RENAME");
    rename.arg(format!("rs:blue:{twin}")).arg(format!("rs:blue:{token}")).exec(&mut redis).unwrap();
    let at_red = red.get(&format!("{}={token}", red.cookie));
    let at_blue = blue.get(&format!("{}={token}", blue.cookie));
    for _ in 0..12 {
        assert_eq!(mesh.passes(&at_red).header("x-red-user").as_deref(), Some("red-user"));
        assert_eq!(mesh.passes(&at_blue).header("x-blue-user").as_deref(), Some("blue-user"));
    }
    let logout = Request::new("POST", "/logout").host(red.host).header("cookie", format!("{}={token}", red.cookie));
    let response = mesh.send(&logout);
    assert_eq!(response.status, 204);
    assert_eq!(response.values("set-cookie"), ["red-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"]);
    for _ in 0..12 {
        mesh.denies(&at_red, 401, "session_required");
        assert_eq!(mesh.passes(&at_blue).header("x-blue-user").as_deref(), Some("blue-user"));
    }
}

#[test]
fn each_tenants_navigations_are_redirected_to_its_own_login_page() {
    let tenants = tenants();
    let mesh = start(&tenants);
    for (tenant, location) in tenants.iter().zip([
        "https://login.red.example.com/?to=http%3A%2F%2Fred.example.com%2Faccount",
        "https://id.blue.example.com/start?back=http%3A%2F%2Fblue.example.com%2Faccount",
    ]) {
        let response = mesh.send(&tenant.get("a=b").header("sec-fetch-mode", "navigate"));
        assert_eq!((response.status, response.header("location").as_deref()), (302, Some(location)));
    }
}

#[test]
fn an_outage_of_one_tenants_store_does_not_affect_the_other() {
    let mut tenants = tenants();
    let mesh = start(&tenants);
    let [red, blue] = &mut tenants;
    let token = blue.store.create_for(blue.app, "user1", &Value::Null);
    let lost = red.store.create_for(red.app, "user1", &Value::Null);
    red.store.redis.as_mut().expect("this service uses Redis").stop();
    // More consecutive outages than the breaker's threshold.
    for _ in 0..8 {
        mesh.denies(&red.get(&format!("{}={lost}", red.cookie)), 503, "sessions_unavailable");
    }
    mesh.passes(&blue.get(&format!("{}={token}", blue.cookie)));
}

//! README.md and docs/ against the filter: their configurations are read, their lists are complete and name nothing
//! else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rest_sessions_core::config::Config;
use rest_sessions_core::session::lookup::{BadResponse, Failure, MAX_BODY, Outage};
use rest_sessions_core::telemetry::{CALL_DURATION, Cause, Counter, ENDS_EPOCH, FilterState, Gauge, Outcome};
use serde_json::{Value, json};

use super::documents::{configurations, pages};
use super::emulator::{ClusterState, Request, Vm};
use super::{SESSION, token};

const OBSERVABILITY: &str = include_str!("../../docs/observability.md");
const TENANTS: &str = include_str!("../../docs/guides/tenants.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The first cell of each row of the table with this head, and the rest of the row.
fn rows(head: &str) -> Vec<(&'static str, &'static str)> {
    let (_, table) = OBSERVABILITY.split_once(&format!("\n{head}\n")).unwrap_or_else(|| panic!("no table {head:?}"));
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.strip_prefix('|')?.split_once('|'));
    cells.map(|(first, others)| (first.trim(), others)).collect()
}

/// The texts between backticks.
fn names(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_configuration_is_taken_unless_its_refusal_is_shown() {
    let (mut taken, mut refused) = (0, 0);
    for page in pages(root()) {
        for (text, after) in configurations(&page) {
            match Config::parse(text.as_bytes()) {
                Ok(_) => taken += 1,
                Err(_) if after.trim() == "is refused with" => refused += 1,
                Err(problems) => panic!("{text}\n{problems:?}"),
            }
        }
    }
    assert_eq!((taken >= 10, refused), (true, 1), "{taken}");
}

#[test]
fn the_table_of_metrics_names_each_of_them_and_no_other() {
    let shown: BTreeSet<_> = rows("| name | counts |").into_iter().flat_map(|(cell, _)| names(cell)).collect();
    let all = Counter::ALL.into_iter().map(Counter::name);
    let all = all.chain(Gauge::ALL.into_iter().map(Gauge::name)).chain([ENDS_EPOCH, CALL_DURATION]);
    let known: BTreeSet<_> = all.filter_map(|name| name.strip_prefix("rest_sessions.")).collect();
    assert_eq!(shown, known);
}

#[test]
fn an_empty_cache_of_the_default_size_takes_64_kib() {
    let mut vm = Vm::with_config(
        json!({"app": "mywebapp", "rest_sessions": {"cluster": "rest-sessions"}, "cache": {"ttl": "5s"}}),
    );
    assert_eq!(vm.gauge("cache_bytes"), 0, "before the first request");
    vm.request(Request::get("/"));
    assert_eq!(vm.gauge("cache_bytes"), 64 * 1024);
}

#[test]
fn the_outcomes_stand_before_all_that_is_counted_beside_them() {
    let groups = rows("| name | counts |").into_iter().map(|(cell, _)| cell).collect::<Vec<_>>();
    let outcomes: BTreeSet<_> =
        groups.iter().take_while(|cell| !cell.is_empty()).flat_map(|cell| names(cell)).collect();
    let known = Counter::ALL.into_iter().filter(|counter| matches!(counter, Counter::Outcome(_)));
    let known: BTreeSet<_> = known.filter_map(|counter| counter.name().strip_prefix("rest_sessions.")).collect();
    assert_eq!(outcomes, known);
}

#[test]
fn the_table_of_causes_has_the_metric_and_the_text_of_each_failed_call() {
    let outages = [Outage::Timeout, Outage::Connect, Outage::Dispatch, Outage::Breaker];
    let bad = [BadResponse::Status(404), BadResponse::TooLarge];
    let failures = outages.into_iter().map(|outage| (Failure::Outage(outage), outage.to_string()));
    let failures = failures.chain(bad.into_iter().map(|response| (Failure::Bad(response), response.to_string())));
    let table = rows("| metric | meaning | `cause` in the log |");
    for (failure, text) in failures {
        let name = Counter::CallFailures(Cause::of(failure).unwrap()).name();
        let metric = format!("`…{}`", name.strip_prefix("rest_sessions.call_failures").unwrap());
        let (_, row) = table.iter().find(|(cell, _)| *cell == metric).unwrap_or_else(|| panic!("no row {metric}"));
        assert!(row.contains(&format!("`{text}`")), "{metric}: {row}, and not {text:?}");
    }
    assert_eq!(table.len(), outages.len() + bad.len());
    assert_eq!(MAX_BODY, 256 * 1024, "the table says 256 KiB");
}

#[test]
fn the_table_of_filter_state_names_each_reason_and_no_other() {
    let table = rows("| key | value |").into_iter();
    let (_, reasons) = table.into_iter().find(|(key, _)| *key == "`reason`").expect("reasons are listed");
    let shown: BTreeSet<_> = names(reasons).filter(|word| !["allow", "deny"].contains(word)).collect();
    // Shadow mode publishes the reason without it; an abandoned request publishes none.
    let told = Counter::ALL.into_iter().filter_map(|counter| match counter {
        Counter::Outcome(Outcome::ShadowAllowed | Outcome::ShadowDenied | Outcome::Abandoned) => None,
        Counter::Outcome(outcome) => Some(outcome.reason()),
        _ => None,
    });
    assert_eq!(shown, told.collect());
}

#[test]
fn the_table_of_filter_state_names_each_key_and_no_other() {
    let shown: Vec<_> = rows("| key | value |").into_iter().flat_map(|(cell, _)| names(cell)).collect();
    let all = [FilterState::Decision, FilterState::Reason, FilterState::Rule, FilterState::User, FilterState::Source];
    let known: Vec<_> = all.iter().filter_map(|state| state.key().strip_prefix("rest_sessions.")).collect();
    assert_eq!(shown, known);
}

/// Adds the names of the events that the sources below a folder log.
fn events_of(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            events_of(&path, into);
        } else {
            let source = fs::read_to_string(&path).unwrap();
            let events = source
                .split("\"event=")
                .skip(1)
                .filter_map(|rest| rest.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_').next());
            into.extend(events.map(ToOwned::to_owned));
        }
    }
}

#[test]
fn the_table_of_log_lines_names_each_event_and_no_other() {
    let shown: BTreeSet<_> = rows("| `event` | level | when |").into_iter().flat_map(|(cell, _)| names(cell)).collect();
    let mut known = BTreeSet::new();
    for folder in ["src", "core/src"] {
        events_of(&root().join(folder), &mut known);
    }
    assert!(known.len() >= 10, "{known:?}");
    assert_eq!(shown, known.iter().map(String::as_str).collect());
}

#[test]
fn each_tenant_has_sessions_cookies_and_a_login_of_its_own() {
    let (_, text) = TENANTS.split_once("\n```json\n").unwrap();
    let (text, _) = text.split_once("\n```\n").unwrap();
    let mut vm = Vm::with_config(serde_json::from_str::<Value>(text).unwrap());
    vm.set_cluster("coffee-sessions", Some(ClusterState::Healthy));
    let [tea, coffee] = [1, 2].map(token);
    let cookies = format!("__Host-tea={tea}; __Host-coffee={coffee}");
    for (host, path, cluster, header, login) in [
        ("tea.example.com", format!("/tea-shop/get/{tea}"), "rest-sessions", "x-session-user", "login.tea.example.com"),
        (
            "coffee.example.com",
            format!("/coffee-shop/get/{coffee}"),
            "coffee-sessions",
            "x-coffee-user",
            "login.coffee.example.com",
        ),
    ] {
        let stream = vm.request(Request::get("/").host(host).header("cookie", &cookies));
        let call = vm.call();
        assert_eq!((call.cluster.as_str(), call.path()), (cluster, path), "{host}");
        vm.respond(&call, 200, SESSION);
        assert_eq!(stream.upstream_header(header).as_deref(), Some("user123"), "{host}");
        let person = vm.request(Request::get("/a?b").host(host).header("sec-fetch-mode", "navigate"));
        let next = format!("https://{login}/?next=https%3A%2F%2F{host}%2Fa%3Fb");
        assert_eq!(person.local_reply().unwrap().header("location"), Some(next));
    }
    let stream = vm.request(Request::new("POST", "/logout").host("coffee.example.com").header("cookie", &cookies));
    let call = vm.call();
    assert_eq!((call.cluster.as_str(), call.path()), ("coffee-sessions", format!("/coffee-shop/kill/{coffee}")));
    vm.respond(&call, 200, r#"{"kill":1}"#);
    let deleted = "__Host-coffee=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(stream.local_reply().unwrap().header("set-cookie").as_deref(), Some(deleted));
}

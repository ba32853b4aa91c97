//! README.md against the filter: its configurations are read, its lists are complete and name nothing else.

use std::collections::BTreeSet;

use rest_sessions_core::config::Config;
use rest_sessions_core::telemetry::{CALL_DURATION, Counter, ENDS_EPOCH, Gauge, Outcome};
use serde_json::Value;

use super::emulator::{ClusterState, Request, Vm};
use super::{SESSION, token};

const README: &str = include_str!("../../README.md");

/// What follows this.
fn after(start: &str) -> &'static str {
    let (_, rest) = README.split_once(start).unwrap_or_else(|| panic!("README has no {start:?}"));
    rest
}

/// The first cell of each row of the table with this head, and what stands beside it.
fn rows(head: &str) -> Vec<(&'static str, &'static str)> {
    let rows = after(&format!("\n{head}\n")).lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.strip_prefix('|')?.split_once('|'));
    cells.map(|(first, others)| (first.trim(), others)).collect()
}

/// What stands in backticks.
fn names(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

/// The configurations that README shows, each with what follows it.
fn configurations() -> Vec<(&'static str, &'static str)> {
    let blocks = README.split("\n```json\n").skip(1);
    blocks.map(|block| block.split_once("\n```\n").expect("a block ends")).collect()
}

#[test]
fn every_configuration_is_taken_unless_its_refusal_is_shown() {
    let (mut taken, mut refused) = (0, 0);
    for (text, rest) in configurations() {
        let refusal = rest.split("\n```").next().is_some_and(|between| between.contains("is refused with"));
        match Config::parse(text.as_bytes()) {
            Ok(_) => taken += 1,
            Err(_) if refusal => refused += 1,
            Err(problems) => panic!("{text}\n{problems:?}"),
        }
    }
    assert_eq!((taken >= 2, refused), (true, 1));
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
fn the_outcomes_stand_before_all_that_is_counted_beside_them() {
    let groups = rows("| name | counts |").into_iter().map(|(cell, _)| cell).collect::<Vec<_>>();
    let outcomes: BTreeSet<_> =
        groups.iter().take_while(|cell| !cell.is_empty()).flat_map(|cell| names(cell)).collect();
    let known = Counter::ALL.into_iter().filter(|counter| matches!(counter, Counter::Outcome(_)));
    let known: BTreeSet<_> = known.filter_map(|counter| counter.name().strip_prefix("rest_sessions.")).collect();
    assert_eq!(outcomes, known);
}

#[test]
fn the_table_of_filter_state_names_each_reason_and_no_other() {
    let table = rows("| key | value |").into_iter();
    let (_, reasons) = table.into_iter().find(|(key, _)| *key == "`reason`").expect("reasons are listed");
    let shown: BTreeSet<_> = names(reasons).filter(|word| !["allow", "deny"].contains(word)).collect();
    // In shadow the reason is the one that would have been; of who left, nothing is told.
    let told = Counter::ALL.into_iter().filter_map(|counter| match counter {
        Counter::Outcome(Outcome::ShadowAllowed | Outcome::ShadowDenied | Outcome::Abandoned) => None,
        Counter::Outcome(outcome) => Some(outcome.reason()),
        _ => None,
    });
    assert_eq!(shown, told.collect());
}

#[test]
fn each_tenant_has_sessions_cookies_and_a_login_of_its_own() {
    let text = after("\n### Two tenants in one Envoy\n");
    let (text, _) = text.split_once("\n```json\n").and_then(|(_, text)| text.split_once("\n```\n")).unwrap();
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
    let deleted = "__Host-coffee=; Max-Age=0; Path=/; Secure; SameSite=Lax";
    assert_eq!(stream.local_reply().unwrap().header("set-cookie").as_deref(), Some(deleted));
}

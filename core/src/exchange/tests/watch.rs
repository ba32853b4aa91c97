//! What outlives its session is closed, and nothing else.

use super::*;
use crate::session::lookup::{BadResponse, Failure, Outage};

fn watched(rule: Value) -> Site {
    let mut default = json!({"session": "required", "recheck": "30s"});
    for (key, value) in rule.as_object().unwrap() {
        default[key] = value.clone();
    }
    site(json!({"default": default}))
}

fn fate(site: &Site, lookup: &Lookup) -> Step<Fate> {
    let watch = site.settle(&session()).open.watch.unwrap();
    assert_eq!(watch.every_ms(), 30_000);
    watch.session(site.around(), lookup)
}

#[test]
fn it_ends_once_its_session_is_gone() {
    for mode in ["required", "optional"] {
        let Step { effects, next } = fate(&watched(json!({"session": mode})), &Lookup::None);
        assert_eq!(next, Fate::Ends, "{mode}");
        assert!(effects.contains(&Effect::Count(Counter::RecheckClosed)));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Count(Counter::Outcome(_)))), "it was counted");
    }
}

#[test]
fn it_stays_while_its_session_does_and_while_nobody_knows() {
    let site = watched(json!({}));
    for lookup in [
        session(),
        Lookup::Failed(Failure::Outage(Outage::Timeout)),
        Lookup::Failed(Failure::Bad(BadResponse::Status(404))),
    ] {
        let Step { effects, next } = fate(&site, &lookup);
        assert_eq!((next, effects), (Fate::Stays(30_000), vec![]), "{lookup:?}");
    }
    for mode in ["required", "optional"] {
        let busy = fate(&watched(json!({"session": mode})), &Lookup::Failed(Failure::Busy));
        assert_eq!(busy.next, Fate::Stays(0), "it was not asked for: again as soon as may be");
    }
}

#[test]
fn it_ends_once_its_session_would_not_be_let_in_any_more() {
    let site = watched(json!({"require": [{"field": "d.role", "present": false}]}));
    assert_eq!(fate(&site, &session_with(&[("role", Scalar::Bool(true))])).next, Fate::Ends);
}

#[test]
fn a_request_that_was_let_in_unseen_is_looked_at_too() {
    let site = watched(json!({"failure_mode": "allow"}));
    let told = site.settle(&Lookup::Failed(Failure::Outage(Outage::Timeout)));
    assert_eq!(told.outcomes(), [Outcome::FailedOpen]);
    let watch = told.open.watch.unwrap();
    assert_eq!(watch.session(site.around(), &Lookup::None).next, Fate::Ends);
}

#[test]
fn a_request_that_has_no_session_is_not_looked_at_nor_one_that_nobody_asks_for() {
    let optional = watched(json!({"session": "optional"}));
    for lookup in [Lookup::None, Lookup::Failed(Failure::Outage(Outage::Timeout))] {
        assert!(optional.settle(&lookup).open.watch.is_none(), "{lookup:?}");
    }
    assert!(site(json!({})).settle(&session()).open.watch.is_none());
}

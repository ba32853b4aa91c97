//! From `rest_sessions` as it is written to services that are each known once: their calls are counted, and their
//! sessions are kept, by what they are.

use std::rc::Rc;

use super::super::problems::{Path, quoted};
use super::super::raw;
use super::super::reader::Field;
use super::super::values::{CallAuthority, Integer, Millis, ParseText};
use super::{Compiler, OrOff};
use crate::session::breaker;
use crate::session::calls::{Service, ServiceId, TargetId};
use crate::session::realm::{Realm, RealmId};

/// The services and realms so far.
#[derive(Default)]
pub struct Services {
    services: Vec<Rc<Service>>,
    realms: Vec<Rc<Realm>>,
}

impl Services {
    /// The realm of an app at a service, as the one that is known already, if it is.
    pub fn realm(&mut self, target_id: TargetId, service: &Service, app: &Rc<str>) -> Rc<Realm> {
        if let Some(known) = self.realms.iter().find(|realm| realm.is(target_id, app)) {
            return Rc::clone(known);
        }
        let realm = Rc::new(Realm::new(RealmId(self.realms.len()), target_id, service, Rc::clone(app)));
        self.realms.push(Rc::clone(&realm));
        realm
    }

    /// The service as the one that is known already, if it is, and its numbers.
    pub fn shared(&mut self, service: Service) -> (ServiceId, TargetId, Rc<Service>) {
        let place = |known: &[Rc<Service>], same: &dyn Fn(&Service) -> bool| known.iter().position(|other| same(other));
        let index = place(&self.services, &|other| *other == service).unwrap_or_else(|| {
            self.services.push(Rc::new(service.clone()));
            self.services.len().saturating_sub(1)
        });
        let target = place(&self.services, &|other| other.same_target(&service)).unwrap_or(index);
        (ServiceId(index), TargetId(target), self.services.get(index).map_or_else(|| Rc::new(service), Rc::clone))
    }
}

impl Compiler<'_> {
    pub fn service(&self, raw: &raw::RestSessions, at: &Path<'_>) -> Service {
        let cluster = raw.cluster.required(&at.key("cluster"), "the name of Envoy's cluster", self.problems);
        let cluster = cluster.map_or("", |cluster| &cluster.0.0);
        Service {
            cluster: cluster.into(),
            authority: match &raw.authority {
                Field::Given(authority) => authority.0.0.clone(),
                Field::Absent if !cluster.is_empty() => self.authority_of(cluster, at),
                Field::Absent | Field::Invalid => String::new(),
            },
            path_prefix: raw.path_prefix.as_given().map_or_else(String::new, |prefix| prefix.0.0.clone()),
            timeout_ms: raw.timeout.copied().unwrap_or(Millis(500)).0,
            retries: raw.retries.copied().unwrap_or(Integer(1)).0,
            max_in_flight: usize::try_from(raw.max_in_flight.copied().unwrap_or(Integer(256)).0).unwrap_or(usize::MAX),
            breaker: match raw.breaker.as_given() {
                Some(OrOff::On(raw)) => Some(breaker(raw)),
                Some(OrOff::Off) => None,
                None => Some(breaker(&raw::Breaker::default())),
            },
        }
    }

    /// The host in a cluster's name, as Istio writes it: `outbound|3000||rest-sessions.default.svc.cluster.local`.
    fn authority_of(&self, cluster: &str, at: &Path<'_>) -> String {
        let last = cluster.rsplit('|').next().unwrap_or_default();
        if CallAuthority::parse(last).is_none() {
            let message = format!("is missing; {} is no host, so it cannot be taken from cluster", quoted(last));
            self.note(&at.key("authority"), message);
        }
        last.to_owned()
    }
}

fn breaker(raw: &raw::Breaker) -> breaker::Settings {
    breaker::Settings {
        failures: u32::try_from(raw.failures.copied().unwrap_or(Integer(5)).0).unwrap_or(u32::MAX),
        open_for_ms: raw.open_for.copied().unwrap_or(Millis(1_000)).0,
    }
}

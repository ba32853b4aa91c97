//! From `rest_sessions` as it is written to backends, each of which exists once: calls are counted by service, and
//! sessions are cached by namespace.

use std::rc::Rc;

use super::super::problems::{Path, quoted};
use super::super::raw;
use super::super::reader::Field;
use super::super::values::{CallAuthority, ParseText};
use super::{Compiler, OrOff};
use crate::rest_sessions::backend::{Backend, Namespace, NamespaceId, Service, ServiceId, TargetId};
use crate::rest_sessions::breaker;

/// The backends so far.
#[derive(Default)]
pub struct Backends(Vec<Rc<Backend>>);

impl Backends {
    /// The backend of an app at a service: the known one if there is one. Equal services, targets and namespaces have
    /// equal numbers, and different ones different numbers.
    pub fn backend(&mut self, service: Service, app: &Rc<str>) -> Rc<Backend> {
        let known = |same: &dyn Fn(&Backend) -> bool| self.0.iter().find(|backend| same(backend));
        if let Some(backend) = known(&|other| other.service == service && other.namespace.app == *app) {
            return Rc::clone(backend);
        }
        let next = self.0.len();
        let service_id = known(&|other| other.service == service).map_or(ServiceId(next), |other| other.service_id);
        let same_target = known(&|other| other.service.same_target(&service));
        let target_id = same_target.map_or(TargetId(next), |other| other.namespace.target_id);
        let same_namespace = known(&|other| other.namespace.target_id == target_id && other.namespace.app == *app);
        let namespace_id = same_namespace.map_or(NamespaceId(next), |other| other.namespace.id);
        let namespace = Namespace::new(namespace_id, target_id, &service, Rc::clone(app));
        let backend = Rc::new(Backend { service, service_id, namespace });
        self.0.push(Rc::clone(&backend));
        backend
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
            path_prefix: raw.path_prefix.0.0.clone(),
            timeout_ms: raw.timeout.0,
            retries: raw.retries.0,
            max_in_flight: usize::try_from(raw.max_in_flight.0).unwrap_or(usize::MAX),
            breaker: match &*raw.breaker {
                OrOff::On(raw) => Some(breaker(raw)),
                OrOff::Off => None,
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
    breaker::Settings { failures: u32::try_from(raw.failures.0).unwrap_or(u32::MAX), open_for_ms: raw.open_for.0 }
}

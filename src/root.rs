//! The root context: it holds a configuration, and owns every call that is made under it.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};
use rest_sessions_core::config::{Config, Problem};
use rest_sessions_core::exchange::Refused;
use rest_sessions_core::worker::Event;

use crate::dispatch;
use crate::filter::Filter;
use crate::host;
use crate::stream::Stream;

pub struct Root {
    id: u32,
    /// Absent until there is a valid configuration.
    filter: Option<Rc<Filter>>,
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self { id, filter: None }
    }

    fn configure(&self, size: usize) -> Result<Filter, Vec<Problem>> {
        let host_refused = |what: &str, refused: Refused| {
            vec![Problem { path: String::new(), message: format!("the host does not {what}: {refused:?}") }]
        };
        let bytes = host::buffer(BufferType::PluginConfiguration, size)
            .map_err(|refused| host_refused("hand over the configuration", refused))?;
        let config = Config::parse(&bytes)?;
        Filter::new(self.id, config).map_err(|refused| host_refused("give metrics, a queue or a timer", refused))
    }

    fn handle(&self, event: impl FnOnce() -> Event) {
        if let Some(filter) = &self.filter {
            filter.handle_from_root(event());
        }
    }
}

impl Drop for Root {
    /// The host deletes a root when its configuration goes.
    fn drop(&mut self) {
        self.handle(|| Event::Retired);
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, num_headers: usize, body_size: usize, _num_trailers: usize) {
        self.handle(|| Event::CalloutResponse { call, response: dispatch::read_response(num_headers, body_size) });
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match self.configure(size) {
            Ok(filter) => {
                self.filter = Some(Rc::new(filter));
                true
            }
            Err(problems) => {
                for problem in &problems {
                    log::error!("configuration: {problem}");
                }
                false
            }
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        if let Some(filter) = &self.filter {
            filter.queue_ready(queue);
        }
    }

    fn on_tick(&mut self) {
        self.handle(|| Event::Tick);
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(id, self.filter.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

//! The root context: it holds a configuration, and owns every call that is made under it.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use crate::host;
use crate::stream::Stream;
use crate::worker::Worker;
use rest_sessions_core::config::{Config, Problem};

pub struct Root {
    id: u32,
    /// Absent until there is a configuration that holds.
    worker: Option<Rc<Worker>>,
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self { id, worker: None }
    }

    fn configure(&self, size: usize) -> Result<Worker, Vec<Problem>> {
        let host_trouble = |what: &str, refused: host::Refused| {
            vec![Problem { path: String::new(), message: format!("the host does not {what}: {refused:?}") }]
        };
        let bytes = host::buffer(BufferType::PluginConfiguration, size)
            .map_err(|refused| host_trouble("hand over the configuration", refused))?;
        let config = Config::parse(&bytes)?;
        Worker::new(self.id, config).map_err(|refused| host_trouble("give metrics, a queue or a timer", refused))
    }
}

impl Drop for Root {
    /// The host deletes a root when its configuration goes.
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.retire();
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, num_headers: usize, body_size: usize, _num_trailers: usize) {
        if let Some(worker) = &self.worker {
            worker.answered(call, num_headers, body_size);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match self.configure(size) {
            Ok(worker) => {
                self.worker = Some(Rc::new(worker));
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
        if let Some(worker) = &self.worker {
            worker.queue_ready(queue);
        }
    }

    fn on_tick(&mut self) {
        if let Some(worker) = &self.worker {
            worker.recheck();
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(id, self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

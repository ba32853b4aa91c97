//! The context of one request: its callbacks, passed on to what the worker knows of it.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::host::{self, Refused};
use super::worker::{Progress, Worker, give_up, turn_away};

pub struct Stream {
    id: u32,
    /// Absent where there is no configuration that holds: then nothing passes.
    worker: Option<Rc<Worker>>,
}

impl Stream {
    pub fn new(id: u32, worker: Option<Rc<Worker>>) -> Self {
        if let Some(worker) = &worker {
            worker.stream_began(id);
        }
        Self { id, worker }
    }
}

fn action(progress: Result<Progress, Refused>) -> Action {
    match progress.unwrap_or_else(|refused| give_up(&refused)) {
        Progress::Unchanged | Progress::Forward => Action::Continue,
        Progress::Replied | Progress::Waiting => Action::Pause,
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        if let Some(worker) = &self.worker {
            worker.stream_ended(self.id);
        }
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        match &self.worker {
            Some(worker) => action(
                host::headers(MapType::HttpRequestHeaders)
                    .and_then(|headers| worker.request_headers(self.id, &headers, end_of_stream)),
            ),
            None => unconfigured(),
        }
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        match &self.worker {
            Some(worker) => action(
                host::headers(MapType::HttpRequestTrailers).and_then(|trailers| worker.request_trailers(&trailers)),
            ),
            None => unconfigured(),
        }
    }
}

fn unconfigured() -> Action {
    action(Ok(turn_away("event=no_configuration")))
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The host says that a request is done before it deletes it; should it not, nothing is left behind.
        if let Some(worker) = &self.worker {
            worker.stream_ended(self.id);
        }
    }
}

//! The context of one request: its callbacks, passed on to what the worker knows of it.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use crate::host;
use crate::progress::{Progress, host_refused, turn_away};
use crate::waiting::Ticket;
use crate::worker::Worker;

pub struct Stream {
    id: u32,
    /// Absent where there is no configuration that holds: then nothing passes.
    worker: Option<Rc<Worker>>,
    stage: Stage,
}

/// What the stream has to know of its request by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    ExpectHeaders,
    /// The worker knows of it, for the time when it is told something.
    Waited(Ticket),
    Decided,
}

impl Stream {
    pub fn new(id: u32, worker: Option<Rc<Worker>>) -> Self {
        Self { id, worker, stage: Stage::ExpectHeaders }
    }

    fn headers(&mut self, end_of_stream: bool) -> Progress {
        let Some(worker) = &self.worker else { return unconfigured() };
        if self.stage != Stage::ExpectHeaders {
            // Headers that come a second time were not judged.
            return turn_away("event=headers_twice");
        }
        self.stage = Stage::Decided;
        let progress = match host::headers(MapType::HttpRequestHeaders) {
            Ok(headers) => worker.request_headers(self.id, headers, end_of_stream),
            Err(refused) => worker.give_up(&refused),
        };
        if let Progress::Waiting(ticket) | Progress::Followed(ticket) = progress {
            self.stage = Stage::Waited(ticket);
        }
        progress
    }

    fn response(&self, worker: &Worker) -> Progress {
        let ticket = if let Stage::Waited(ticket) = self.stage { Some(ticket) } else { None };
        match host::headers(MapType::HttpResponseHeaders) {
            Ok(headers) => worker.response_headers(self.id, ticket, &headers),
            // What is not seen cannot be kept from the client.
            Err(refused) => turn_away(&host_refused(&refused)),
        }
    }

    fn response_trailers(worker: &Worker) -> Progress {
        match host::headers(MapType::HttpResponseTrailers) {
            Ok(trailers) => worker.response_trailers(&trailers),
            Err(refused) => turn_away(&host_refused(&refused)),
        }
    }

    fn trailers(&self) -> Progress {
        let Some(worker) = &self.worker else { return unconfigured() };
        match host::headers(MapType::HttpRequestTrailers) {
            Ok(trailers) => worker.request_trailers(&trailers),
            Err(refused) => turn_away(&host_refused(&refused)),
        }
    }
}

fn action(progress: Progress) -> Action {
    match progress {
        Progress::Forward | Progress::Followed(_) => Action::Continue,
        Progress::Replied | Progress::Waiting(_) => Action::Pause,
    }
}

fn unconfigured() -> Progress {
    turn_away("event=no_configuration")
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        action(self.headers(end_of_stream))
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        action(self.trailers())
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        match &self.worker {
            Some(worker) if worker.reads_responses() => action(self.response(worker)),
            _ => Action::Continue,
        }
    }

    fn on_http_response_trailers(&mut self, _num_trailers: usize) -> Action {
        match &self.worker {
            Some(worker) if worker.reads_responses() => action(Self::response_trailers(worker)),
            _ => Action::Continue,
        }
    }
}

impl Drop for Stream {
    /// The host says that it is done with a request right before it deletes it, and nothing comes between.
    fn drop(&mut self) {
        if let (Some(worker), Stage::Waited(ticket)) = (&self.worker, self.stage) {
            worker.stream_ended(ticket);
        }
    }
}

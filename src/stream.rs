//! The context of one stream: its callbacks as events.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use rest_sessions_core::action::{HeaderMap, StreamRef};
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::worker::Event;

use crate::filter::{Callback, Filter, fail_closed};
use crate::host;

pub struct Stream {
    id: u32,
    /// Absent without a valid configuration. Then nothing passes.
    filter: Option<Rc<Filter>>,
    /// Absent until the core has seen the stream.
    stream: Option<StreamRef>,
    /// The core needs the end of the stream as an event.
    is_tracked: bool,
}

impl Stream {
    pub fn new(id: u32, filter: Option<Rc<Filter>>) -> Self {
        Self { id, filter, stream: None, is_tracked: false }
    }

    /// Reads a header map, and hands it to the core, unless it is of a response and no response concerns the core.
    fn handle(&mut self, map: HeaderMap, event: impl FnOnce(StreamRef, Headers) -> Event) -> Action {
        let reads_responses = self.filter.as_ref().is_some_and(|filter| filter.reads_responses);
        if !reads_responses && matches!(map, HeaderMap::ResponseHeaders | HeaderMap::ResponseTrailers) {
            return Action::Continue;
        }
        let Some(filter) = &self.filter else {
            fail_closed("event=no_configuration");
            return Action::Pause;
        };
        let stream = *self.stream.get_or_insert_with(|| filter.admit(self.id));
        let event = match host::headers(map as u32) {
            Ok(headers) => event(stream, headers),
            Err(status) => Event::Refused { stream, map, status, undone: Vec::new() },
        };
        let mut callback = Callback::of_stream(stream);
        filter.handle(event, &mut callback);
        self.is_tracked |= callback.is_tracked;
        if callback.goes_on { Action::Continue } else { Action::Pause }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        if self.stream.is_some() {
            // Headers that come a second time were not judged.
            fail_closed("event=headers_twice");
            return Action::Pause;
        }
        self.handle(HeaderMap::RequestHeaders, |stream, headers| Event::RequestHeaders {
            stream,
            headers,
            end_of_stream,
        })
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        self.handle(HeaderMap::RequestTrailers, |_, trailers| Event::RequestTrailers(trailers))
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.handle(HeaderMap::ResponseHeaders, |stream, headers| Event::ResponseHeaders { stream, headers })
    }

    fn on_http_response_trailers(&mut self, _num_trailers: usize) -> Action {
        self.handle(HeaderMap::ResponseTrailers, |_, trailers| Event::ResponseTrailers(trailers))
    }
}

impl Drop for Stream {
    /// The host ends a stream right before it deletes it, with nothing in between.
    fn drop(&mut self) {
        if let (Some(filter), Some(stream), true) = (&self.filter, self.stream, self.is_tracked) {
            filter.handle_from_root(Event::StreamEnded(stream));
        }
    }
}

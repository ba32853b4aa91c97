//! The configuration, as JSON and as a protobuf Struct: it is read, or each problem says where it is. What was read lets no
//! request panic.
#![no_main]

use std::hash::RandomState;
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use rest_sessions_core::cache::shared_data::LocalData;
use rest_sessions_core::config::Config;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::local::LocalEnvironment;
use rest_sessions_core::worker::{Event, Seeds, Worker};

fuzz_target!(|bytes: &[u8]| {
    let config = match Config::parse(bytes) {
        Ok(config) => Rc::new(config),
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
            return;
        }
    };
    let environment = LocalEnvironment::new(1_760_000_000_000, None, LocalData::default());
    let seeds = Seeds { digest_key: RandomState::new(), random: [1, 2, 3, 4] };
    let mut actions = Vec::new();
    let Ok(mut worker) = Worker::new(config, seeds, &environment) else { panic!("there is shared data") };
    for (method, path) in [("GET", "/"), ("POST", "/a/%62;c"), ("OPTIONS", "*"), ("CONNECT", "")] {
        let token = "a".repeat(64);
        let cookie = format!("session-cookie={token}");
        let pairs = [
            (":method", method),
            (":scheme", "https"),
            (":authority", "a.example"),
            (":path", path),
            ("cookie", &cookie),
        ];
        let stream = worker.admit(1);
        let headers = Headers::from_pairs(&pairs);
        worker.handle(Event::RequestHeaders { stream, headers, end_of_stream: true }, &environment, &mut actions);
    }
});

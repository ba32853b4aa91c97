//! Calls that run beside a test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use test_support::http1::{Connection, Request};

use super::process::Server;

/// A caller that keeps its connection.
pub struct Client<'server> {
    server: &'server Server,
    kept: Option<(Connection, Instant)>,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub began: Instant,
    pub took: Duration,
    pub status: u16,
    pub body: String,
}

impl<'server> Client<'server> {
    pub fn new(server: &'server Server) -> Self {
        Self { server, kept: None }
    }

    /// Sends one request, its body declared as JSON.
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::new(method, path).host("localhost");
        let request = request.header("content-type", "application/json").body(body);
        let began = Instant::now();
        // A connection of the library lives for some time only.
        let fresh = self.kept.take().filter(|(_, opened)| opened.elapsed() < Duration::from_secs(10));
        let (connection, opened) = fresh.unwrap_or_else(|| (Connection::open(self.server.address()), began));
        let mut connection = connection.send(&request);
        let response = connection.read(false);
        if response.header("connection").as_deref() != Some("close") {
            self.kept = Some((connection, opened));
        }
        Answer { began, took: began.elapsed(), status: response.status, body: response.text() }
    }
}

/// Runs `body` while each of `clients` threads calls `call` with its own number and with 0, 1, 2, … Returns what `body`
/// returned, and what the threads did, in the order of each.
pub fn beside<T, R: Send>(
    server: &Server,
    clients: usize,
    call: impl Fn(&mut Client, usize, usize) -> R + Sync,
    body: impl FnOnce() -> T,
) -> (T, Vec<Vec<R>>) {
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let (call, stopped) = (&call, &stopped);
                scope.spawn(move || {
                    let mut client = Client::new(server);
                    let mut answers = Vec::new();
                    while !stopped.load(Ordering::SeqCst) {
                        answers.push(call(&mut client, number, answers.len()));
                    }
                    answers
                })
            })
            .collect();
        let stop = StopOnDrop(&stopped);
        let result = body();
        drop(stop);
        (result, threads.into_iter().map(|thread| thread.join().unwrap()).collect())
    })
}

/// Stops the threads also if the test panics beside them.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs `call` once on each of `clients` threads, all at once.
pub fn at_once<R: Send>(server: &Server, clients: usize, call: impl Fn(&mut Client, usize) -> R + Sync) -> Vec<R> {
    let together = std::sync::Barrier::new(clients);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let (call, together) = (&call, &together);
                scope.spawn(move || {
                    together.wait();
                    call(&mut Client::new(server), number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The time within which so many of 100 were answered.
pub fn percentile(percent: usize, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

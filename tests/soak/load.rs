//! h2load at full speed: one kind of request after the other, over HTTP/1 or HTTP/2.

use std::collections::HashMap;
use std::process::Command;
use std::time::Instant;

use test_support::http1::Request;
use test_support::process::Process;
use test_support::{token, wait};

use crate::ledger::now;
use crate::soak::{Expect, FORGED_HEADERS, Soak};
use crate::tally::Counts;

/// Requests of a first burst, and the bounds of further ones. The largest is over in time also if the machine is suddenly
/// slow.
const FIRST: u64 = 1_000;
const FEWEST: u64 = 200;
const MOST: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Session,
    Junk,
    Unknown,
    Conflict,
    Forged,
    ForgedOptional,
    ForgedOff,
    KilledMeanwhile,
    LoggedOutMeanwhile,
}

const KINDS: [Kind; 9] = [
    Kind::Session,
    Kind::Junk,
    Kind::KilledMeanwhile,
    Kind::Unknown,
    Kind::Conflict,
    Kind::Forged,
    Kind::LoggedOutMeanwhile,
    Kind::ForgedOptional,
    Kind::ForgedOff,
];

#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    Http1,
    Http2,
}

/// Runs bursts of about a second until the soak is over.
pub fn at_full_speed(soak: &Soak, protocol: Protocol) {
    let mut sizes: HashMap<Kind, u64> = HashMap::new();
    for kind in KINDS.into_iter().cycle() {
        if soak.is_over() {
            return;
        }
        let size = sizes.entry(kind).or_insert(FIRST);
        let started = Instant::now();
        burst(soak, protocol, kind, *size);
        let per_second = *size as f64 / started.elapsed().as_secs_f64();
        *size = (per_second as u64).clamp(FEWEST, MOST);
    }
}

fn burst(soak: &Soak, protocol: Protocol, kind: Kind, size: u64) {
    let burst = Burst { soak, protocol, kind, size };
    let stranger = || Request::get("/stranger");
    match kind {
        Kind::Session | Kind::Forged | Kind::KilledMeanwhile | Kind::LoggedOutMeanwhile => {
            let Some(session) = soak.create() else { return };
            let mut request = Request::get(&format!("/member/{}", session.number)).session(&session.token);
            if kind == Kind::Forged {
                request = forged(request);
            }
            burst.run(&request, Expect::Live(&session), |process| {
                let end = match kind {
                    Kind::KilledMeanwhile => Soak::kill,
                    Kind::LoggedOutMeanwhile => Soak::log_out,
                    _ => return,
                };
                wait::until_true("a quarter of the burst", || session.passed() >= size / 4 || !process.is_running());
                end(soak, &session);
            });
            soak.kill(&session);
        }
        Kind::Conflict => {
            let (Some(first), Some(second)) = (soak.create(), soak.create()) else { return };
            let cookies = format!("session-cookie={}; session-cookie={}", first.token, second.token);
            let target = format!("/conflict/{}/{}", first.number, second.number);
            let request = Request::get(&target).header("cookie", cookies);
            burst.run(&request, Expect::Conflict([&first, &second]), |_| {});
            soak.kill(&first);
            soak.kill(&second);
        }
        Kind::Junk => burst.run(&stranger().session("junk"), Expect::Junk, |_| {}),
        Kind::Unknown => burst.run(&stranger().session(&token::fresh()), Expect::Stranger, |_| {}),
        Kind::ForgedOptional => {
            burst.run(&forged(Request::get("/open").session(&token::fresh())), Expect::Open, |_| {});
        }
        Kind::ForgedOff => burst.run(&forged(Request::get("/off")), Expect::Open, |_| {}),
    }
}

/// Requests of one kind by one run of h2load.
struct Burst<'s> {
    soak: &'s Soak,
    protocol: Protocol,
    kind: Kind,
    size: u64,
}

impl Burst<'_> {
    /// Runs h2load, and `meanwhile` beside it; then checks what became of the requests.
    fn run(&self, request: &Request, expect: Expect, meanwhile: impl FnOnce(&mut Process)) {
        let began = now();
        let mut process = Process::start("h2load", self.command(request));
        meanwhile(&mut process);
        let code = process.wait_for_exit();
        let output = process.output();
        let name = format!("h2load, {:?}, {:?}", self.protocol, self.kind);
        match counts(&output) {
            Some(counts) if code == Some(0) && counts.sum() == self.size => {
                self.soak.tally.add(&name, counts);
                self.soak.check(&name, request, expect, began, counts);
            }
            _ => self.soak.failures.report(&format!("{name} did not get {} responses:\n{output}{request}", self.size)),
        }
    }

    fn command(&self, request: &Request) -> Command {
        let mut command = Command::new(&self.soak.h2load);
        command.args(["--requests", &self.size.to_string(), "--clients", "8"]);
        command.args(match self.protocol {
            Protocol::Http1 => ["--h1", "--max-concurrent-streams=1"],
            Protocol::Http2 => ["--no-tls-proto=h2c", "--max-concurrent-streams=8"],
        });
        for (name, value) in &request.headers {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            command.arg(format!("--header={name}: {value}"));
        }
        command.arg(format!("http://{}{}", self.soak.envoy, request.target));
        command
    }
}

fn forged(request: Request) -> Request {
    FORGED_HEADERS.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

/// The statuses that h2load reports. `None` if a request got no response.
fn counts(output: &str) -> Option<Counts> {
    let numbers = |prefix: &str| -> Option<HashMap<String, u64>> {
        let line = output.lines().find_map(|line| line.strip_prefix(prefix))?;
        let parts = line.split(',').filter_map(|part| part.trim().split_once(' '));
        Some(parts.filter_map(|(count, what)| Some((what.to_owned(), count.parse().ok()?))).collect())
    };
    let (requests, statuses) = (numbers("requests: ")?, numbers("status codes: ")?);
    let of = |class: &str| statuses.get(class).copied();
    let whole = requests.get("errored") == Some(&0) && requests.get("timeout") == Some(&0) && of("3xx") == Some(0);
    whole.then_some(Counts { passed: of("2xx")?, refused: of("4xx")?, failed: of("5xx")?, left: 0 })
}

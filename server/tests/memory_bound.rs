//! What the store in memory counts is what the process takes. Measured in the program, through HTTP.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rest_sessions::clock::Clock;
use rest_sessions::data::Data;
use rest_sessions::params::App;
use rest_sessions::store::{MemoryStore, NewSession, Read};
use support::process::Server;

const MIB: usize = 1 << 20;
/// Requests that are sent before their responses are read.
const BATCH: usize = 64;
const KEYS_IN_REQUEST: usize = 1750;

/// A connection that is kept, over which many requests are sent at once.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(server: &Server) -> Self {
        let stream = server.connect();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends these requests, and returns status and body of each response.
    fn call_all(&mut self, requests: &[(&str, String, String)]) -> Vec<(u16, String)> {
        let mut replies = Vec::new();
        for batch in requests.chunks(BATCH) {
            let mut sent = String::new();
            for (method, path, body) in batch {
                let head = "HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
                write!(sent, "{method} {path} {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            }
            let mut writer = self.0.get_ref().try_clone().unwrap();
            // The responses are read meanwhile, since they may fill the buffers of the socket.
            std::thread::scope(|scope| {
                scope.spawn(move || writer.write_all(sent.as_bytes()).unwrap());
                replies.extend(batch.iter().map(|_| self.read()));
            });
        }
        replies
    }

    fn read(&mut self) -> (u16, String) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line[9..12].parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some(("content-length", found)) => length = found.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// Creates sessions of users of their own and returns the tokens of those that fit.
    fn create(&mut self, users: Range<usize>, data: &str) -> Vec<String> {
        let create = |user| ("PUT", format!("/app1/create/user{user}?ip=192.168.99.22"), data.to_owned());
        let replies = self.call_all(&users.map(create).collect::<Vec<_>>());
        let token = |(status, body): (u16, String)| match status {
            200 => Some(body[r#"{"token":""#.len()..body.len() - 2].to_owned()),
            503 => None,
            _ => panic!("{status} {body}"),
        };
        replies.into_iter().filter_map(token).collect()
    }

    /// Changes sessions and returns whether each change did fit.
    fn set(&mut self, changes: Vec<(&String, String)>) -> Vec<bool> {
        let set = |(token, data)| ("POST", format!("/app1/set/{token}"), data);
        let replies = self.call_all(&changes.into_iter().map(set).collect::<Vec<_>>());
        replies
            .into_iter()
            .map(|(status, body)| {
                assert!(status == 200 || status == 503, "{status} {body}");
                status == 200
            })
            .collect()
    }
}

/// The bytes of the process that are in memory.
fn resident(server: &Server) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// `d` with these keys, each with this value.
fn keys(range: Range<usize>, value: impl Fn(usize) -> String) -> String {
    let members: Vec<String> = range.map(|n| format!(r#""key{n}":{}"#, value(n))).collect();
    format!("{{{}}}", members.join(","))
}

fn text(n: usize) -> String {
    format!(r#""value {n}""#)
}

fn null(_: usize) -> String {
    "null".to_owned()
}

/// A server that is filled with sessions of so many keys.
struct Filled {
    limit: usize,
    count: usize,
    server: Server,
    client: Client,
    /// The bytes of the process before.
    before: usize,
    tokens: Vec<String>,
}

impl Filled {
    /// Starts a server, lets its code run and its threads allocate, and fills it.
    fn start(limit: usize, count: usize) -> Self {
        let server = Server::start(&["--memory-limit", &(limit / MIB).to_string()]);
        let mut client = Client::new(&server);
        let tokens = client.create(0..BATCH, &keys(0..100, text));
        client.set(tokens.iter().map(|token| (token, keys(0..500, text))).collect());
        assert_eq!(server.call("DELETE", "/app1/killall", ""), (200, format!(r#"{{"kill":{BATCH}}}"#)));
        let before = resident(&server);
        let mut filled = Self { limit, count, server, client, before, tokens: Vec::new() };
        filled.fill();
        filled
    }

    /// Creates sessions until there is no room.
    fn fill(&mut self) {
        // A request has at most 60,000 bytes.
        let ranges = (0..self.count).step_by(KEYS_IN_REQUEST);
        let parts: Vec<_> = ranges.map(|n| keys(n..self.count.min(n + KEYS_IN_REQUEST), text)).collect();
        let (first, rest) = parts.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
        let step = if rest.is_empty() { BATCH * 4 } else { 4 };
        loop {
            let users = self.tokens.len();
            let tokens = self.client.create(users..users + step, first);
            let mut full = tokens.len() < step;
            for part in rest {
                full |= self.client.set(tokens.iter().map(|token| (token, part.clone())).collect()).contains(&false);
            }
            self.tokens.extend(tokens);
            if full {
                return;
            }
        }
    }

    /// Ends every second session.
    fn end_half(&mut self) {
        let (ended, kept) = self.tokens.drain(..).enumerate().partition::<Vec<_>, _>(|(n, _)| n % 2 == 0);
        self.tokens = kept.into_iter().map(|(_, token)| token).collect();
        let kills: Vec<_> =
            ended.into_iter().map(|(_, token)| ("DELETE", format!("/app1/kill/{token}"), String::new())).collect();
        assert!(self.client.call_all(&kills).iter().all(|(status, body)| *status == 200 && body == r#"{"kill":1}"#));
    }

    /// The growth of the process, and its ratio to the limit.
    fn growth(&self, when: &str) -> f64 {
        let growth = resident(&self.server).saturating_sub(self.before);
        let ratio = growth as f64 / self.limit as f64;
        let mebibytes = |bytes: usize| bytes as f64 / MIB as f64;
        println!(
            "{} keys, {} sessions, {when}: counted {:.1} MiB, resident {:.1} MiB, ratio {ratio:.2}",
            self.count,
            self.tokens.len(),
            mebibytes(self.limit),
            mebibytes(growth),
        );
        ratio
    }

    /// A full server counts its limit. Checks that it takes that, and that freed memory is used again.
    fn assert_counted(&mut self) {
        let ratio = self.growth("filled");
        assert!((0.75..=1.25).contains(&ratio), "{ratio:.2}");
        self.end_half();
        self.fill();
        let ratio = self.growth("half of them ended, and filled again");
        assert!((0.75..=1.25).contains(&ratio), "{ratio:.2}");
    }
}

#[test]
fn sessions_without_keys_take_what_is_counted() {
    Filled::start(16 * MIB, 0).assert_counted();
}

#[test]
fn sessions_of_2_keys_take_what_is_counted() {
    Filled::start(16 * MIB, 2).assert_counted();
}

#[test]
fn sessions_of_500_keys_take_what_is_counted() {
    Filled::start(32 * MIB, 500).assert_counted();
}

#[test]
fn sessions_of_7000_keys_take_what_is_counted() {
    Filled::start(32 * MIB, 7000).assert_counted();
}

#[test]
#[ignore = "takes some minutes; part of the soak tests"]
fn sessions_of_every_size_take_what_is_counted_with_64_mib() {
    for count in [0, 2, 500, 7000] {
        Filled::start(64 * MIB, count).assert_counted();
    }
}

#[test]
fn sessions_that_shrink_and_grow_stay_within_the_limit() {
    let mut filled = Filled::start(16 * MIB, 500);
    for round in 0..2 {
        for change in [keys(20..500, null), keys(20..600, text), keys(500..600, null)] {
            let changed: Vec<_> = filled.tokens.iter().skip(round % 2).step_by(2).cloned().collect();
            filled.client.set(changed.iter().map(|token| (token, change.clone())).collect());
        }
        filled.fill();
        let ratio = filled.growth("half of them shrunk and grown, and filled again");
        assert!(ratio <= 1.25, "{ratio:.2}");
    }
}

/// The bound itself is tested where the lock is: in the unit tests of the store.
#[test]
#[ignore = "takes some minutes and prints a figure of this machine; part of the soak tests"]
fn a_get_beside_a_list_of_all_sessions_is_timed() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = MemoryStore::new(256 * MIB, MIB, Clock::system());
    let app = App::parse("app1").unwrap();
    let create = |n| {
        let new =
            NewSession { id: format!("user{n}"), ip: "192.168.99.22".to_owned(), ttl: 7200, data: Data::default() };
        runtime.block_on(store.create(&app, new))
    };
    let tokens: Vec<_> = (0..).map_while(|n| create(n).ok()).collect();
    let listing = AtomicBool::new(true);
    let mut times: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let sessions = runtime.block_on(store.app_sessions(&app, 7200));
            println!("{} of {} sessions listed in {:?}", sessions.len(), tokens.len(), began.elapsed());
            listing.store(false, Ordering::Relaxed);
        });
        let gets = tokens.iter().cycle().take_while(|_| listing.load(Ordering::Relaxed));
        gets.map(|token| {
            let began = Instant::now();
            store.get(&app, token, Read { touch: true, max_idle: None });
            began.elapsed()
        })
        .collect()
    });
    times.sort();
    println!(
        "{} gets beside it: p99 {:?}, longest {:?}",
        times.len(),
        times[times.len() * 99 / 100],
        times[times.len() - 1]
    );
}

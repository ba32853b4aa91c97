//! What the store in memory counts is what the process takes. Measured in the program, through HTTP.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use support::process::Server;

const MIB: usize = 1 << 20;
/// Requests that are sent before their responses are read.
const BATCH: usize = 64;

/// A connection that is kept, over which many requests are sent at once.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(server: &Server) -> Self {
        Self(BufReader::new(server.connect()))
    }

    /// Sends these requests, and returns status and body of each response.
    fn call_all(&mut self, requests: &[(&str, String, String)]) -> Vec<(u16, String)> {
        let mut replies = Vec::new();
        for batch in requests.chunks(BATCH) {
            let mut sent = String::new();
            for (method, path, body) in batch {
                let head = "HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
                write!(sent, "{method} {path} {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            }
            let mut writer = self.0.get_ref().try_clone().unwrap();
            // While the responses are read, since they may fill the buffers of the socket.
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
    fn create(&mut self, users: std::ops::Range<usize>, data: &str) -> Vec<String> {
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
                if status == 503 {
                    false
                } else {
                    assert_eq!(status, 200, "{body}");
                    true
                }
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

/// A server whose code has run and whose threads have allocated, with the bytes that it takes then.
fn start(limit: usize) -> (Server, Client, usize) {
    let server = Server::start(&["--memory-limit", &(limit / MIB).to_string()]);
    let mut client = Client::new(&server);
    let tokens = client.create(0..200, &keys(0..200));
    client.set(tokens.iter().map(|token| (token, keys(0..500))).collect());
    assert_eq!(server.call("DELETE", "/app1/killall", ""), (200, r#"{"kill":200}"#.to_owned()));
    let before = resident(&server);
    (server, client, before)
}

fn keys(range: std::ops::Range<usize>) -> String {
    let members: Vec<String> = range.map(|n| format!(r#""key{n}":"value {n}""#)).collect();
    format!("{{{}}}", members.join(","))
}

/// Creates sessions with so many keys until the server is full, and returns how many there are.
fn fill(client: &mut Client, count: usize) -> usize {
    // A request has at most 60,000 bytes.
    let parts: Vec<_> = (0..count).step_by(1500).map(|first| keys(first..count.min(first + 1500))).collect();
    let (first, rest) = parts.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
    let mut sessions = 0;
    loop {
        let step = if count > 1500 { BATCH / 4 } else { BATCH * 16 };
        let tokens = client.create(sessions..sessions + step, first);
        sessions += tokens.len();
        let mut full = tokens.len() < step;
        for part in rest {
            let fitted = client.set(tokens.iter().map(|token| (token, part.clone())).collect());
            full |= fitted.contains(&false);
        }
        if full {
            return sessions;
        }
    }
}

#[test]
fn what_is_counted_is_what_the_process_takes() {
    let limit = 64 * MIB;
    for count in [0, 2, 500, 7000] {
        let (server, mut client, before) = start(limit);
        let began = std::time::Instant::now();
        let sessions = fill(&mut client, count);
        let growth = resident(&server) - before;
        let ratio = growth as f64 / limit as f64;
        println!(
            "{count:>5} keys, {sessions:>7} sessions: counted {:.1} MiB, resident {:.1} MiB, ratio {ratio:.2}, before {} {:?}",
            limit as f64 / MIB as f64,
            growth as f64 / MIB as f64,
            before / MIB,
            began.elapsed()
        );
        // assert!((0.75..=1.25).contains(&ratio), "{count} keys: {ratio:.2}");
    }
}

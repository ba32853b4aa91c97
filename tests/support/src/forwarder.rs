//! A TCP proxy on loopback in front of Redis: one name whose server changes, and a network that fails.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Forwards connections to a target. Dropping it cuts them.
pub struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    accepted: AtomicU64,
    swallowed: AtomicU64,
    state: Mutex<State>,
}

struct State {
    target: SocketAddr,
    /// The delay of each direction.
    one_way: Duration,
    links: Vec<Arc<Link>>,
    /// Texts, the answer to each of which is lost once.
    to_swallow: VecDeque<Vec<u8>>,
    closed: bool,
}

/// One forwarded connection.
struct Link {
    client: TcpStream,
    server: TcpStream,
    silent: AtomicBool,
    swallows: AtomicBool,
}

impl Forwarder {
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let state =
            State { target, one_way: Duration::ZERO, links: Vec::new(), to_swallow: VecDeque::new(), closed: false };
        let shared =
            Arc::new(Shared { accepted: AtomicU64::new(0), swallowed: AtomicU64::new(0), state: Mutex::new(state) });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `redis://` with the address.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The connections accepted so far, those that the target refused included.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Sends new connections to another target. Open ones stay where they are, as after a change of DNS.
    pub fn switch_to(&self, target: SocketAddr) {
        self.shared.state().target = target;
    }

    /// Closes all open connections.
    pub fn cut(&self) {
        self.shared.state().links.drain(..).for_each(|link| link.cut());
    }

    /// Delays what is sent from now on, each direction by half of a round trip.
    pub fn delay(&self, round_trip: Duration) {
        self.shared.state().one_way = round_trip / 2;
    }

    /// Lets the open connections forward nothing more and stay open, as after a network partition. New ones work.
    pub fn silence(&self) {
        for link in &self.shared.state().links {
            link.silent.store(true, Ordering::SeqCst);
        }
    }

    /// Lets the next `count` requests that contain `text` arrive, and cuts the connection before the answer.
    pub fn swallow_answers_to(&self, text: &str, count: usize) {
        self.shared.state().to_swallow.extend(std::iter::repeat_n(text.as_bytes().to_vec(), count));
    }

    /// How many answers [`Self::swallow_answers_to`] has swallowed.
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::SeqCst)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.cut();
        // Wakes the thread that accepts.
        let _refused = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the answer to this request is to be lost.
    fn takes_answer_to(&self, request: &[u8]) -> bool {
        let mut state = self.state();
        let contains = |text: &Vec<u8>| request.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text));
        match state.to_swallow.iter().position(contains) {
            Some(index) => state.to_swallow.remove(index).is_some(),
            None => false,
        }
    }
}

impl Link {
    fn cut(&self) {
        // Fails if the peer has closed it.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().map_while(Result::ok) {
        let target = {
            let state = shared.state();
            if state.closed {
                return;
            }
            state.target
        };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let Ok(server) = TcpStream::connect(target) else { continue };
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("a socket takes this option");
        }
        let link = Arc::new(Link { client, server, silent: AtomicBool::new(false), swallows: AtomicBool::new(false) });
        let mut state = shared.state();
        if state.closed {
            return link.cut();
        }
        state.links.push(Arc::clone(&link));
        drop(state);
        for direction in [Direction::Requests, Direction::Answers] {
            let (sender, receiver) = mpsc::channel();
            let (link, shared) = (Arc::clone(&link), Arc::clone(shared));
            let writing = Arc::clone(&link);
            thread::spawn(move || direction.write(&writing, &receiver));
            thread::spawn(move || direction.read(&link, &shared, &sender));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

impl Direction {
    fn ends(self, link: &Link) -> (&TcpStream, &TcpStream) {
        match self {
            Self::Requests => (&link.client, &link.server),
            Self::Answers => (&link.server, &link.client),
        }
    }

    /// Passes what arrives on, with the time at which it is due.
    fn read(self, link: &Link, shared: &Shared, sender: &Sender<(Instant, Vec<u8>)>) {
        let (mut from, _) = self.ends(link);
        let mut buffer = [0; 1 << 16];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // Reset; or an answer was swallowed, and nothing has followed it for a while.
                Err(_) => {
                    let swallowed = self == Self::Answers && link.swallows.load(Ordering::SeqCst);
                    shared.swallowed.fetch_add(swallowed.into(), Ordering::SeqCst);
                    return link.cut();
                }
            };
            let one_way = shared.state().one_way;
            if self == Self::Requests && shared.takes_answer_to(&buffer[..count]) {
                link.swallows.store(true, Ordering::SeqCst);
            }
            if self == Self::Answers && link.swallows.load(Ordering::SeqCst) {
                // The answer may be that to an earlier request: the one that is meant follows at once.
                let quiet = one_way + Duration::from_millis(10);
                from.set_read_timeout(Some(quiet)).expect("a socket takes this option");
                continue;
            }
            if sender.send((Instant::now() + one_way, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    }

    /// Writes what is due, and closes the other end once the peer has closed its own.
    fn write(self, link: &Link, receiver: &Receiver<(Instant, Vec<u8>)>) {
        let (_, mut to) = self.ends(link);
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if !link.silent.load(Ordering::SeqCst) && to.write_all(&bytes).is_err() {
                return;
            }
        }
        // Fails if the peer has closed it.
        let _ = to.shutdown(Shutdown::Write);
    }
}

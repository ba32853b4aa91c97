//! Ports on loopback that behave as a test needs them to.

use std::net::SocketAddr;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, Socket, Type};

/// A port that is taken, so that nobody else gets it, and refuses every connection, since nobody listens on it.
#[derive(Debug)]
pub struct RefusingPort(Socket);

impl RefusingPort {
    pub fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback has a free port");
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound socket has an address")
    }
}

/// A port that the kernel hands to nobody of its own accord, so that a server can come back to it.
pub fn likely_to_stay_free() -> SocketAddr {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(serial < 100, "a hundred ports in a row do not serve; does redis-server start at all?");
    let port = FIRST + (process::id().wrapping_mul(101) + serial) % COUNT;
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("below 32,000")))
}

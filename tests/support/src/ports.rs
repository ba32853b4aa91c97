//! Ports on loopback with a known state.

use std::net::SocketAddr;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, Socket, Type};

/// A port that refuses every connection: it is bound, so that no other program gets it, and not listened on.
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

/// An address for a server that cannot bind port 0, or that has to restart at the same address. Its port is below the
/// ephemeral ports, so the kernel assigns it to no other socket. Another test may use it: the caller has to check that
/// its server starts there, and to take the next one if not.
pub fn non_ephemeral() -> SocketAddr {
    in_range(20_000, 12_000)
}

/// As [`non_ephemeral`], for a node of a Redis Cluster: the port that is higher by 10,000 is not ephemeral either.
pub fn with_cluster_bus() -> SocketAddr {
    in_range(11_000, 9_000)
}

fn in_range(first: u32, count: u32) -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    let port = first + process::id().wrapping_mul(101).wrapping_add(serial) % count;
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("below 32,000")))
}

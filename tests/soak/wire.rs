//! HTTP/1.1 exchanges that may fail: with rest-sessions while it is down, and with Envoy where a failure has to name its
//! request.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use test_support::http1::Request;
use test_support::wait::PATIENCE;

/// Status and body of a response.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Sends a request over a connection of its own, and reads the response. The client closes: Envoy would wait a second.
pub fn exchange(address: SocketAddr, request: &Request) -> io::Result<Answer> {
    let mut stream = send(address, request)?;
    let (head, mut body) = read_head(&mut stream)?;
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = line.map_or(Ok(0), |length| length.parse().map_err(|_| odd("a length that is no number")))?;
    while body.len() < length {
        read_more(&mut stream, &mut body)?;
    }
    Ok(Answer { status: status(&head)?, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Sends a request and leaves: after `wait`, or with the first bytes of the response.
pub fn send_and_leave(address: SocketAddr, request: &Request, wait: Duration) -> io::Result<()> {
    let stream = send(address, request)?;
    if !wait.is_zero() {
        stream.set_read_timeout(Some(wait))?;
        // Leaves in either case.
        let _answered = stream.peek(&mut [0]);
    }
    Ok(())
}

fn send(address: SocketAddr, request: &Request) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&request.bytes())?;
    Ok(stream)
}

/// An open WebSocket, whose peer echoes.
pub struct Socket(TcpStream);

impl Socket {
    /// Asks for a WebSocket. The socket is of use only if the status is 101.
    pub fn open(address: SocketAddr, request: &Request) -> io::Result<(u16, Self)> {
        let mut stream = send(address, request)?;
        let (head, _) = read_head(&mut stream)?;
        Ok((status(&head)?, Self(stream)))
    }

    /// Sends bytes and reads them back. An error if the peer has closed it.
    pub fn echo(&mut self) -> io::Result<()> {
        self.0.write_all(b"ping")?;
        self.0.read_exact(&mut [0; 4])
    }

    /// Waits until the peer closes it; an error if that does not happen in time.
    pub fn wait_for_close(&mut self) -> io::Result<()> {
        match self.0.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(odd("bytes in place of the end")),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The head of a response, and what has arrived of its body.
fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        read_more(stream, &mut bytes)?;
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).to_ascii_lowercase(), body));
        }
    }
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut more = [0; 1024];
    match stream.read(&mut more)? {
        0 => Err(odd("the connection ends before the response")),
        length => {
            bytes.extend_from_slice(&more[..length]);
            Ok(())
        }
    }
}

fn status(head: &str) -> io::Result<u16> {
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| odd("no status line"))
}

fn odd(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

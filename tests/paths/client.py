"""Sends request targets as they are, over HTTP/1.1, and reads which route has served them."""

import re
import socket
from contextlib import suppress

TIMEOUT_SECONDS = 5
CHUNK_BYTES = 65_536
SERVED = re.compile(rb"served:([a-z-]+);")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
LAST_CHUNK = re.compile(rb"(?:^|\r\n)0+[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n")


def is_sendable(target: bytes) -> bool:
    """Whether it can be sent: in HTTP/1.1, spaces and line ends are no part of a target (RFC 9112, section 3)."""
    return bool(target) and not re.search(rb"[\x00-\x20\x7f]", target)


class Client:
    """A connection to one server, opened again whenever the server closes it."""

    def __init__(self, address: str) -> None:
        """`address` is `HOST:PORT`, or the path of a Unix domain socket."""
        self.address = address
        self.timeout_seconds: float = TIMEOUT_SECONDS
        self.connection: socket.socket | None = None

    def close(self) -> None:
        if self.connection:
            self.connection.close()
            self.connection = None

    def connect(self) -> socket.socket:
        if self.connection is None:
            if self.address.startswith("/"):
                self.connection = socket.socket(socket.AF_UNIX)
                self.connection.settimeout(self.timeout_seconds)
                self.connection.connect(self.address)
            else:
                host, port = self.address.split(":")
                self.connection = socket.create_connection((host, int(port)), self.timeout_seconds)
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.connection

    def served(self, target: bytes) -> str | None:
        """The name of the route that serves a target. Nothing if none does, or the server does not answer."""
        found = SERVED.search(self.answer(target, "test.example"))
        return found[1].decode() if found else None

    def get(self, target: bytes, host: str) -> tuple[int, bytes] | None:
        """Status and body. Nothing if the server does not answer."""
        head, _, body = self.answer(target, host).partition(b"\r\n\r\n")
        return (int(head.split(b" ", 2)[1]), body) if head else None

    def answer(self, target: bytes, host: str) -> bytes:
        """The bytes of the response; none if the server does not answer."""
        is_new = self.connection is None
        try:
            answer = self.exchange(target, host)
        except TimeoutError:
            self.close()
            return b""
        except OSError:
            answer = b""
        if not answer and not is_new:
            # The server has closed the connection after its last answer.
            self.close()
            with suppress(OSError):
                answer = self.exchange(target, host)
        if not answer:
            self.close()
        return answer

    def exchange(self, target: bytes, host: str) -> bytes:
        """The bytes of the response."""
        connection = self.connect()
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
        answer = b""
        while True:
            # A server that writes head and body apart waits for the acknowledgement of the first.
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            received = connection.recv(CHUNK_BYTES)
            answer += received
            if not received:
                self.close()
                return answer
            head, end, content = answer.partition(b"\r\n\r\n")
            if not end:
                continue
            head += b"\r\n"
            if CHUNKED.search(head):
                complete = LAST_CHUNK.search(content) is not None
            elif length := LENGTH.search(head):
                complete = len(content) >= int(length[1])
            elif not head.split(b" ", 2)[1].startswith(b"200"):
                # Nothing is served. Puma sends such an answer without a length, and does not close at once.
                self.close()
                return answer
            else:
                continue
            if complete:
                if CLOSE.search(head) or not head.startswith(b"HTTP/1.1"):
                    self.close()
                return answer

"""Sends request targets as they are, over HTTP/2 without TLS, and reads the responses."""

import socket
from types import TracebackType

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from tests.paths.client import CHUNK_BYTES, TIMEOUT_SECONDS


class Http2Client:
    """A connection to an Envoy, opened again whenever it is closed. A target is not checked: Envoy is to do that."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket: socket.socket | None = None
        self.h2 = H2Connection()

    def __enter__(self) -> "Http2Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self.socket:
            self.socket.close()
            self.socket = None

    def connect(self) -> socket.socket:
        if self.socket is None:
            host, port = self.address.split(":")
            self.socket = socket.create_connection((host, int(port)), TIMEOUT_SECONDS)
            configuration = H2Configuration(
                header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
            )
            self.h2 = H2Connection(configuration)
            self.h2.initiate_connection()
        return self.socket

    def get(self, target: bytes, host: str) -> tuple[int, bytes] | None:
        """Status and body. Nothing if Envoy resets the stream or ends the connection."""
        connection = self.connect()
        stream = self.h2.get_next_available_stream_id()
        headers = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", host.encode()), (b":path", target)]
        self.h2.send_headers(stream, headers, end_stream=True)
        status, body = 0, b""
        try:
            while True:
                connection.sendall(self.h2.data_to_send())
                received = connection.recv(CHUNK_BYTES)
                events: list[Event] = self.h2.receive_data(received) if received else [ConnectionTerminated()]
                for event in events:
                    match event:
                        case ResponseReceived():
                            status = int(dict(event.headers or [])[b":status"])
                        case DataReceived():
                            body += event.data or b""
                            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
                        case StreamEnded():
                            connection.sendall(self.h2.data_to_send())
                            return status, body
                        case StreamReset():
                            return None
                        case ConnectionTerminated():
                            self.close()
                            return None
        except (OSError, ProtocolError):
            self.close()
            return None

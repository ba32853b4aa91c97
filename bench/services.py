"""The services behind Envoy: the upstream, a stub of rest-sessions, the real one on Redis, and an authorization service
for each of both."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import OTHER_CORES
from harness.processes import Supervisor, free_ports
from harness.rest_sessions import APP, RestSessions

LOOPBACK = "127.0.0.1:0"
# Far more than connections, so that no two requests in flight have the same session.
SESSIONS = 1024
# The data of a session in a small shop.
DATA_BYTES = 100
SLOW_MS = 1000
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class Backend:
    """A session service, the tokens of sessions that it has, and the authorization service that calls it."""

    address: str
    tokens: list[str]
    authz: str


@dataclass
class Services:
    upstream: str
    stub: Backend
    redis: Backend
    # The address of a stub that answers after `SLOW_MS`, so that many requests wait for one lookup.
    slow: str


def token(number: int, data_bytes: int = DATA_BYTES) -> str:
    """A token that the stub accepts. Its random part tells the stub how much data the session has; its last eight
    characters are the time of creation in milliseconds, in base 36."""
    created, text = int(time.time() * 1000), ""
    while created:
        created, digit = divmod(created, 36)
        text = DIGITS[digit] + text
    return f"{data_bytes:05}{number:050}Z{text}"


@contextmanager
def running_services(folder: Path, peers: Path, rest_sessions: Path, redis_server: Path) -> Iterator[Services]:
    with Supervisor(folder, OTHER_CORES) as supervisor:

        def authz(sessions: str) -> str:
            command = [peers, "authz", "--listen", LOOPBACK, "--sessions", sessions, "--app", APP]
            return supervisor.start("authz", *command).wait_for_address()

        def stub(name: str, *options: object) -> str:
            return supervisor.start(name, peers, "sessions", "--listen", LOOPBACK, *options).wait_for_address()

        upstream = supervisor.start("upstream", peers, "upstream", "--listen", LOOPBACK).wait_for_address()
        fast, slow = stub("sessions"), stub("slow-sessions", "--delay", SLOW_MS)
        real = start_rest_sessions(supervisor, rest_sessions, redis_server)
        yield Services(
            upstream,
            Backend(fast, [token(number) for number in range(SESSIONS)], authz(fast)),
            Backend(real, create_sessions(real), authz(real)),
            slow,
        )


def start_rest_sessions(supervisor: Supervisor, rest_sessions: Path, redis_server: Path) -> str:
    """The address of rest-sessions on a Redis that writes nothing to disk."""
    redis_port, port = free_ports(2)
    command = [redis_server, "--port", redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    redis = supervisor.start("redis", *command)
    redis.wait_until(lambda: "eady to accept connections" in redis.output())
    address = f"127.0.0.1:{port}"
    store = f"redis://127.0.0.1:{redis_port}"
    server = supervisor.start("rest-sessions", rest_sessions, "--listen", address, "--store", store)
    server.wait_for_http(f"http://{address}/ping")
    return address


def create_sessions(address: str) -> list[str]:
    """Tokens of sessions with as much data as the stub's."""
    data = {"name": "n" * (DATA_BYTES - len('{"name":""}'))}
    sessions = RestSessions(address)
    return [sessions.create(f"user{number}", data) for number in range(SESSIONS)]

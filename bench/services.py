"""The services behind Envoy: the upstream, a stub of rest-sessions, the real one on Redis, and an authorization service
for each of both."""

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from bench.processes import OTHER_CORES
from harness.processes import ManagedProcess, Supervisor, free_ports
from harness.rest_sessions import APP, TIMEOUT_SECONDS

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
        real, _ = start_rest_sessions(supervisor, rest_sessions, start_redis(supervisor, redis_server))
        yield Services(
            upstream,
            Backend(fast, [token(number) for number in range(SESSIONS)], authz(fast)),
            Backend(real, create_sessions(real), authz(real)),
            slow,
        )


def start_redis(supervisor: Supervisor, redis_server: Path) -> str:
    """The URL of a Redis that writes nothing to disk."""
    (port,) = free_ports(1)
    command = [redis_server, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    redis = supervisor.start("redis", *command)
    redis.wait_until(lambda: "eady to accept connections" in redis.output())
    return f"redis://127.0.0.1:{port}"


def start_rest_sessions(
    supervisor: Supervisor, rest_sessions: Path, store: str, cores: set[int] | None = None
) -> tuple[str, ManagedProcess]:
    """The address of rest-sessions with this store, and its process."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [rest_sessions, "--listen", address, "--store", store]
    server = supervisor.start("rest-sessions", *command, cores=cores)
    server.wait_for_http(f"http://{address}/ping")
    return address, server


def create_sessions(address: str, count: int = SESSIONS) -> list[str]:
    """Tokens of sessions with as much data as the stub's. `RestSessions` would take ten times as long for so many."""
    body = json.dumps({"name": "n" * (DATA_BYTES - len('{"name":""}'))})
    tokens = []
    with closing(HTTPConnection(address, timeout=TIMEOUT_SECONDS)) as connection:
        for number in range(count):
            path = f"/{APP}/create/user{number}?ip=127.0.0.1"
            connection.request("PUT", path, body, {"content-type": "application/json"})
            tokens.append(json.load(connection.getresponse())["token"])
    return tokens

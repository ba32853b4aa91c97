"""What stands behind Envoy: the upstream, a stand-in for rest-sessions, the real one on Redis, and for each of both
an authorization service."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.bootstraps import APP
from bench.processes import Programs, free_port

LOOPBACK = "127.0.0.1:0"
# Far more than connections, so that no two requests that are under way at once are of one session.
SESSIONS = 1024
# What a session of a small shop holds.
DATA_BYTES = 100
SLOW_MS = 1000
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class Backend:
    """A session service, sessions that it knows, and the authorization service that asks it."""

    address: str
    tokens: list[str]
    authz: str


@dataclass
class Services:
    upstream: str
    stub: Backend
    redis: Backend
    # A stand-in that takes its time, so that many requests wait for one answer.
    slow: str


def token(number: int, data_bytes: int = DATA_BYTES) -> str:
    """A token that the stand-in takes for a session with so much data: its random part says how much."""
    created, text = int(time.time() * 1000), ""
    while created:
        created, digit = divmod(created, 36)
        text = DIGITS[digit] + text
    return f"{data_bytes:05}{number:050}Z{text}"


@contextmanager
def running_services(programs: Programs, peers: Path, rest_sessions: Path, redis_server: Path) -> Iterator[Services]:
    with programs.running() as start:

        def authz(sessions: str) -> str:
            command = [peers, "authz", "--listen", LOOPBACK, "--sessions", sessions, "--app", APP]
            return start("authz", *command).address()

        upstream = start("upstream", peers, "upstream", "--listen", LOOPBACK).address()
        stub = start("sessions", peers, "sessions", "--listen", LOOPBACK).address()
        slow = start("slow-sessions", peers, "sessions", "--listen", LOOPBACK, "--delay", SLOW_MS).address()
        real = real_sessions(start, rest_sessions, redis_server)
        yield Services(
            upstream,
            Backend(stub, [token(number) for number in range(SESSIONS)], authz(stub)),
            Backend(real, [create(real, number) for number in range(SESSIONS)], authz(real)),
            slow,
        )


def real_sessions(start: Callable, rest_sessions: Path, redis_server: Path) -> str:
    redis_port, port = free_port(), free_port()
    # Nothing is kept on disk.
    command = [redis_server, "--port", redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    redis = start("redis", *command)
    redis.wait_until(lambda: "eady to accept connections" in redis.log.read_text())
    address = f"127.0.0.1:{port}"
    server = start("rest-sessions", rest_sessions, "--listen", address, "--store", f"redis://127.0.0.1:{redis_port}")
    server.wait_until(lambda: urllib.request.urlopen(f"http://{address}/ping", timeout=1).read())
    return address


def create(address: str, number: int) -> str:
    """A session at the real rest-sessions, with as much data as the stand-in's."""
    data = {"name": "n" * (DATA_BYTES - len('{"name":""}'))}
    request = urllib.request.Request(
        f"http://{address}/{APP}/create/user{number}?ip=127.0.0.1",
        data=json.dumps(data).encode(),
        headers={"content-type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["token"]

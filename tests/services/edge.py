"""Runs a service behind a real Envoy with the filter, and rest-sessions beside it, on free ports."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from harness import envoy
from harness.paths import envoy_bin, programs
from harness.processes import ProcessError, Supervisor, free_ports
from harness.rest_sessions import COOKIE, RestSessions

ATTEMPTS = 3
TIMEOUT_SECONDS = 10
TTL_SECONDS = 600
WORKERS = 2


class Edge:
    """Envoy, a service behind it and rest-sessions, as users and a login service see them."""

    def __init__(self, envoy_address: str, service_address: str, sessions_address: str) -> None:
        self.url = f"http://{envoy_address}"
        self.service_url = f"http://{service_address}"
        self.sessions = RestSessions(sessions_address)

    def log_in(self, user: str = "user123", **data: Any) -> str:
        """Creates a session, as a login service does, and returns its token."""
        return self.sessions.create(user, data, TTL_SECONDS)

    def session(self, token: str) -> dict[str, Any]:
        """The session at rest-sessions; empty if there is none."""
        return self.sessions.get(token)

    def data(self, token: str) -> dict[str, Any]:
        data: dict[str, Any] = self.session(token).get("d", {})
        return data

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> requests.Response:
        """Sends a request through Envoy, with this token, and does not follow redirects."""
        cookies = {COOKIE: token} if token else {}
        options = {"timeout": TIMEOUT_SECONDS, "allow_redirects": False, "cookies": cookies, **options}
        return requests.request(method, self.url + path, **options)


@contextmanager
def edge(
    folder: Path,
    configuration: dict[str, Any],
    service: Sequence[object],
    ready: str = "/",
    cwd: Path | None = None,
) -> Iterator[Edge]:
    """`service` is a command that listens on port `{port}`, which is also in its environment, as PORT. It is ready
    when it answers at the path `ready`, with any status."""
    with Supervisor(folder) as supervisor:
        yield start_edge(supervisor, configuration, service, ready, cwd)


def start_edge(
    supervisor: Supervisor, configuration: dict[str, Any], service: Sequence[object], ready: str, cwd: Path | None
) -> Edge:
    """Another program may take a free port before it is used; then all are started again, on other ports."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return try_to_start(supervisor, configuration, service, ready, cwd)
        except ProcessError as error:
            if attempt == ATTEMPTS or "in use" not in str(error):
                raise
    raise AssertionError("not reached")


def try_to_start(
    supervisor: Supervisor, configuration: dict[str, Any], service: Sequence[object], ready: str, cwd: Path | None
) -> Edge:
    sessions_port, port = free_ports(2)
    sessions, own = f"127.0.0.1:{sessions_port}", f"127.0.0.1:{port}"
    server = [programs() / "rest-sessions", "--listen", sessions, "--store", "memory", "--drain-delay", 0]
    rest_sessions = supervisor.start("rest-sessions", *server)
    command = [str(part).replace("{port}", str(port)) for part in service]
    program = supervisor.start("service", *command, cwd=cwd, env={**os.environ, "PORT": str(port)})
    rest_sessions.wait_for_http(f"http://{sessions}/readyz")
    program.wait_for_http(f"http://{own}{ready}", any_status=True)

    http_filter = envoy.wasm_filter(configuration, as_json=True)
    clusters = [envoy.cluster("rest-sessions", sessions), envoy.cluster("service", own)]
    bootstrap = envoy.bootstrap([http_filter], clusters, route_to="service")
    return Edge(envoy.Envoy(supervisor, envoy_bin(), bootstrap, WORKERS).address, own, sessions)

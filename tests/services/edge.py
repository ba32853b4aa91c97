"""A service behind a real Envoy with the filter, and rest-sessions beside it: on free ports, ended with the block."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

import support  # noqa: E402
from support import ROOT  # noqa: E402

APP = "mywebapp"
COOKIE = "session-cookie"
SECONDS = 10


class Edge:
    """What stands around a service, as its users and its login see it."""

    def __init__(self, port: int, sessions_port: int, service_port: int):
        self.url = f"http://127.0.0.1:{port}"
        self.service_url = f"http://127.0.0.1:{service_port}"
        self.sessions_url = f"http://127.0.0.1:{sessions_port}/{APP}"

    def log_in(self, user: str = "user123", **data) -> str:
        """Makes a session, as the service that knows the users does, and returns its token."""
        url = f"{self.sessions_url}/create/{user}?ip=127.0.0.1&ttl=600"
        answer = requests.put(url, json=data or None, timeout=SECONDS)
        answer.raise_for_status()
        return answer.json()["token"]

    def session(self, token: str) -> dict:
        """What rest-sessions has; empty where there is none."""
        return requests.get(f"{self.sessions_url}/get/{token}", timeout=SECONDS).json()

    def data(self, token: str) -> dict:
        return self.session(token).get("d", {})

    def ask(self, method: str, path: str, token: str | None = None, **options) -> requests.Response:
        """Through Envoy, with this token alone, and without following where the answer leads."""
        cookies = {COOKIE: token} if token else {}
        options = {"timeout": SECONDS, "allow_redirects": False, "cookies": cookies, **options}
        return requests.request(method, self.url + path, **options)


@contextmanager
def edge(folder: Path, configuration: dict, service: list, ready: str = "/", **popen):
    """`service` is a command that listens at `{port}`, which is also in its environment, as PORT."""
    for tries_left in (2, 1, 0):
        with started(folder, configuration, service, ready, popen) as running:
            # A free port may be taken by somebody else before it is used; then others are chosen.
            if isinstance(running, Edge):
                yield running
                return
            assert tries_left and "in use" in running, running


@contextmanager
def started(folder: Path, configuration: dict, service: list, ready: str, popen: dict):
    """An `Edge`; or what was logged, if one of its programs did not start."""
    port, admin, sessions, own = support.free_ports(4)
    bootstrap = folder / "envoy.json"
    bootstrap.write_text(json.dumps(bootstrap_for(configuration, port, admin, sessions, own)))
    envoy = [support.envoy_bin(), "-c", bootstrap, "--disable-hot-restart", "--concurrency", 2]
    envoy += ["--log-level", "warning"]
    own_options = {"env": {**os.environ, "PORT": str(own)}, **popen}
    commands = [
        ([support.programs() / "rest-sessions", "--listen", f"127.0.0.1:{sessions}", "--store", "memory"], {}),
        ([str(part).replace("{port}", str(own)) for part in service], own_options),
        (envoy, {}),
    ]
    urls = [f"http://127.0.0.1:{sessions}/ping", f"http://127.0.0.1:{own}{ready}", f"http://127.0.0.1:{admin}/ready"]
    programs = []
    try:
        for number, (command, options) in enumerate(commands):
            programs.append(start(command, folder / f"{number}.log", options))
        edge = Edge(port, sessions, own)
        ends = time.monotonic() + support.WAIT_SECONDS
        while not all(map(answers, urls)):
            if time.monotonic() > ends or any(program.poll() is not None for program in programs):
                yield "\n".join((folder / f"{number}.log").read_text() for number in range(len(commands)))
                return
            time.sleep(0.05)
        yield edge
    finally:
        for program in reversed(programs):
            stop(program)


def bootstrap_for(configuration: dict, port: int, admin: int, sessions: int, own: int) -> dict:
    clusters = [cluster("rest-sessions", sessions), cluster("service", own)]
    bootstrap = support.bootstrap_of(support.wasm_filter(configuration, as_json=True), clusters=clusters)
    (listener,) = bootstrap["static_resources"]["listeners"]
    listener["address"]["socket_address"]["port_value"] = port
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    everything = {"match": {"prefix": "/"}, "route": {"cluster": "service"}}
    manager["route_config"]["virtual_hosts"] = [{"name": "service", "domains": ["*"], "routes": [everything]}]
    bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}}
    return bootstrap


def cluster(name: str, port: int) -> dict:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": name, "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def start(command: list, log: Path, options: dict) -> subprocess.Popen:
    """In a process group of its own: some programs, such as the wheel's `node`, start another one and wait for it."""
    command = [str(part) for part in command]
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )


def stop(program: subprocess.Popen) -> None:
    """Ends it, and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        ends = time.monotonic() + SECONDS
        try:
            os.killpg(program.pid, number)
            while time.monotonic() < ends:
                # Once it is waited for, the group is there for as long as one of the others is.
                program.poll()
                os.killpg(program.pid, 0)
                time.sleep(0.02)
        except ProcessLookupError:
            return
    raise AssertionError(f"{program.args[0]} or what it started cannot be ended")


def answers(url: str) -> bool:
    """Whatever it answers: a service may have no page for who has no session."""
    try:
        status = requests.get(url, timeout=SECONDS).status_code
    except requests.RequestException:
        return False
    return status < 500 or not url.endswith(("/ping", "/ready"))

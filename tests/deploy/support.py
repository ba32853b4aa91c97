"""What the tests of this folder share: where things are, Envoy's validation, and a running demo."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "dist" / "rest_sessions_filter.wasm"
BOOTSTRAP = ROOT / "envoy" / "envoy.yaml"
WAIT_SECONDS = 90

# These tests are started by make, and start make: as a user would, not as a part of the outer one.
for variable in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
    os.environ.pop(variable, None)


def envoy_bin() -> str:
    assert "ENVOY_BIN" in os.environ, "ENVOY_BIN is not set: run these tests with `make test`"
    assert MODULE.is_file(), f"{MODULE} is missing: run these tests with `make test`"
    return os.environ["ENVOY_BIN"]


def programs() -> Path:
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    for name in ("rest-sessions", "accounts", "shop", "session-filter"):
        assert (folder / name).is_file(), f"{folder / name} is missing: run these tests with `make test`"
    return folder


def validate(bootstrap: dict) -> subprocess.CompletedProcess:
    """Hands a bootstrap to `envoy --mode validate`, which loads the module and lets it read its configuration."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(bootstrap, file)
        file.flush()
        command = [envoy_bin(), "--mode", "validate", "--log-level", "warning", "-c", file.name]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_SECONDS)


def wasm_filter(configuration: object, as_json: bool) -> dict:
    """The filter as it stands in a list of HTTP filters, its configuration as JSON text or as a Struct."""
    kind = "google.protobuf.StringValue" if as_json else "google.protobuf.Struct"
    value = json.dumps(configuration) if as_json else configuration
    return {
        "name": "rest_sessions",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "rest_sessions",
                "root_id": "rest_sessions",
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": str(MODULE)}},
                },
                "configuration": {"@type": f"type.googleapis.com/{kind}", "value": value},
            },
        },
    }


def bootstrap_of(*http_filters: dict, clusters: tuple = ()) -> dict:
    """The smallest bootstrap around these filters."""
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "http_filters": [*http_filters, {"name": "router", "typed_config": {"@type": router}}],
        "route_config": {"virtual_hosts": [{"name": "none", "domains": ["*"], "routes": []}]},
    }
    listener = {
        "name": "test",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": list(clusters)}}


def validate_configuration(configuration: object, as_json: bool = True) -> subprocess.CompletedProcess:
    return validate(bootstrap_of(wasm_filter(configuration, as_json)))


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different since all are held until the last is found."""
    held = [socket.socket() for _ in range(count)]
    try:
        for probe in held:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


PORT_FLAGS = {
    10000: "--port",
    9901: "--admin-port",
    3000: "--sessions-port",
    8081: "--accounts-port",
    8080: "--shop-port",
}


class Demo:
    """envoy/run.py, on ports of its own choice."""

    def __init__(self, ports: dict[int, int], path: Path, *options: str):
        self.ports = ports
        self.path = path
        command = [sys.executable, ROOT / "envoy" / "run.py", "--envoy", envoy_bin(), "--programs", programs(), *options]
        for documented, port in ports.items():
            command += [PORT_FLAGS[documented], str(port)]
        with path.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def output(self) -> str:
        return self.path.read_text()

    def here(self, text: str) -> str:
        """A text that names the documented ports, with the ports of this demo."""
        ports = "|".join(map(str, PORT_FLAGS))
        return re.sub(rf"(localhost|127\.0\.0\.1):({ports})\b", lambda m: f"{m[1]}:{self.ports[int(m[2])]}", text)

    def is_settled(self) -> bool:
        """Whether it is ready, or has ended."""
        return "Ready." in self.output() or self.process.poll() is not None

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def demo(folder: Path, *options: str):
    """A running demo, which ends with the block."""
    running = start_demo(folder, options, tries=3)
    try:
        assert "Ready." in running.output(), f"envoy/run.py is not ready:\n{running.output()}"
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def start_demo(folder: Path, options: tuple[str, ...], tries: int) -> Demo:
    """Free ports may be taken by somebody else before they are used; then others are chosen."""
    running = Demo(dict(zip(PORT_FLAGS, free_ports(len(PORT_FLAGS)))), folder / "run.log", *options)
    end = time.monotonic() + WAIT_SECONDS
    while not running.is_settled() and time.monotonic() < end:
        time.sleep(0.05)
    if tries > 1 and "in use" in running.output():
        return start_demo(folder, options, tries - 1)
    return running


def processes_below(pid: int) -> list[int]:
    """The processes that this one started, however deep."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listing.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents if its_parent == parent]
    return found[1:]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def matches(expected: str, found: str) -> bool:
    """Whether a text is what was expected, where `…` stands for anything within a line."""
    pattern = re.escape(expected.strip()).replace("…", ".*")
    return re.fullmatch(pattern, found.replace("\r\n", "\n").strip()) is not None


def run_shell(script: str) -> str:
    # As where the programs are installed.
    environment = {**os.environ, "PATH": f"{programs()}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=WAIT_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_commands(commands: list[str]) -> list[str]:
    """Runs these in one shell, so that variables last, and returns what each printed."""
    boundary = "\x1e"
    script = "\n".join(f"{command}\nprintf '{boundary}'" for command in commands)
    return run_shell(script).split(boundary)[:-1]

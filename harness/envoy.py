"""Envoy: bootstraps with the filter, their validation, and a running Envoy."""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import requests

from harness.paths import MODULE, ROOT, envoy_bin
from harness.processes import Supervisor

# A part of a bootstrap, as JSON.
Json = dict[str, Any]

VALIDATION_SECONDS = 90
ADMIN_SECONDS = 5
FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
CONNECTION_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def wasm_filter(configuration: object, *, as_json: bool = False, module: Path = MODULE) -> Json:
    """An HTTP filter in WebAssembly, its configuration as a Struct or as JSON text."""
    kind = "google.protobuf.StringValue" if as_json else "google.protobuf.Struct"
    value = json.dumps(configuration) if as_json else configuration
    return {
        "name": "rest_sessions",
        "typed_config": {
            "@type": f"{FILTERS}.wasm.v3.Wasm",
            "config": {
                "name": "rest_sessions",
                "root_id": "rest_sessions",
                "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    "vm_id": "rest_sessions",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": str(module)}},
                },
                "configuration": {"@type": f"type.googleapis.com/{kind}", "value": value},
            },
        },
    }


def bootstrap(http_filters: list[Json], clusters: list[Json], route_to: str | None = None) -> Json:
    """One listener with these filters, on a port that the system chooses. All requests are routed to one cluster,
    `route_to`; without it there are no routes."""
    everything = {"match": {"prefix": "/"}, "route": {"cluster": route_to}}
    virtual_host = {"name": "all", "domains": ["*"], "routes": [everything] if route_to else []}
    manager = {
        "@type": CONNECTION_MANAGER,
        "stat_prefix": "http",
        "use_remote_address": True,
        "http_filters": [*http_filters, {"name": "router", "typed_config": {"@type": f"{FILTERS}.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [virtual_host]},
    }
    listener = {
        "name": "http",
        "address": socket_address("127.0.0.1:0"),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {
        "admin": {"address": socket_address("127.0.0.1:0")},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }


def cluster(name: str, address: str) -> Json:
    """A cluster with one endpoint. Its limits are above the filter's own."""
    return {
        "name": name,
        "connect_timeout": "0.25s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(address)}}]}],
        },
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": "4s"},
            }
        },
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 1024}
            ]
        },
    }


def socket_address(address: str) -> Json:
    """An IPv4 address and port, such as `127.0.0.1:0`, as Envoy writes it."""
    host, port = address.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}


def validate_file(path: Path) -> subprocess.CompletedProcess[str]:
    """Runs `envoy --mode validate`, which loads the module and lets it read its configuration."""
    command: list[str | Path] = [envoy_bin(), "--mode", "validate", "--log-level", "warning", "-c", path]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=VALIDATION_SECONDS)


def validate(bootstrap: Json) -> subprocess.CompletedProcess[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(bootstrap, file)
        file.flush()
        return validate_file(Path(file.name))


def validate_configuration(configuration: object, *, as_json: bool = True) -> subprocess.CompletedProcess[str]:
    """Validates a configuration of the filter, in the smallest bootstrap."""
    return validate(bootstrap([wasm_filter(configuration, as_json=as_json)], []))


class Envoy:
    """A running Envoy. The system chooses the ports of its listener and of its admin endpoint."""

    def __init__(
        self,
        supervisor: Supervisor,
        binary: Path,
        bootstrap: Json,
        workers: int = 1,
        cores: set[int] | None = None,
    ) -> None:
        own = Path(tempfile.mkdtemp(dir=supervisor.folder))
        config, admin_file = own / "envoy.json", own / "admin-address"
        config.write_text(json.dumps(bootstrap))
        flags = ["--disable-hot-restart", "--log-level", "error", "--concurrency", workers]
        # Without hot restart, several Envoys can run side by side.
        self.process = supervisor.start(
            "envoy", binary, "-c", config, *flags, "--admin-address-path", admin_file, cores=cores
        )
        self.admin = self.process.wait_until(lambda: admin_file.exists() and admin_file.read_text())
        self.process.wait_until(lambda: self.get("/ready"))
        (listener,) = json.loads(self.get("/listeners?format=json"))["listener_statuses"]
        found = listener["local_address"]["socket_address"]
        self.address = f"{found['address']}:{found['port_value']}"

    def get(self, path: str) -> str:
        """What the admin endpoint answers."""
        response = requests.get(f"http://{self.admin}{path}", timeout=ADMIN_SECONDS)
        response.raise_for_status()
        return response.text

    def calls(self) -> int:
        """How many requests Envoy has sent to rest-sessions, from any filter."""
        return self.stat("cluster.rest-sessions.upstream_rq_total")

    def gauge(self, name: str) -> int:
        """A gauge of the filter."""
        return self.stat(f"wasmcustom.rest_sessions.{name}")

    def stat(self, name: str) -> int:
        return int(self.get(f"/stats?filter=^{re.escape(name)}$").split(": ")[1])

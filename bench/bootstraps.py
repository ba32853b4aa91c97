"""Envoy's configurations: one listener, its filters, and the clusters that they need."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
MODULE = FOLDER.parent / "dist" / "rest_sessions_filter.wasm"
APP = "mywebapp"
COOKIE = "session-cookie"

FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def wasm(module: Path, configuration: dict) -> dict:
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
                "configuration": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": configuration},
            },
        },
    }


def ours(**keys: object) -> dict:
    """This project's filter, with these keys beside those that it cannot do without."""
    return wasm(MODULE, {"app": APP, "rest_sessions": {"cluster": "rest-sessions"}, **keys})


def lua() -> dict:
    code = {"filename": str(FOLDER / "rest_sessions.lua")}
    return {"name": "lua", "typed_config": {"@type": f"{FILTERS}.lua.v3.Lua", "default_source_code": code}}


def ext_authz() -> dict:
    trace = ["x-request-id", "traceparent", "tracestate", "b3"]
    asked = [{"exact": name, "ignore_case": True} for name in ["cookie", *trace]] + [{"prefix": "x-b3-"}]
    annotated = [{"exact": name} for name in ("x-session-user", "x-session-data")]
    return {
        "name": "ext_authz",
        "typed_config": {
            "@type": f"{FILTERS}.ext_authz.v3.ExtAuthz",
            "allowed_headers": {"patterns": asked},
            # A 5xx of the service is not passed on; this status alone stands for it.
            "status_on_error": {"code": "ServiceUnavailable"},
            "http_service": {
                "server_uri": {"uri": "http://authz", "cluster": "authz", "timeout": "0.6s"},
                "authorization_response": {"allowed_upstream_headers": {"patterns": annotated}},
            },
        },
    }


def bootstrap(http_filters: list[dict], clusters: dict[str, str]) -> dict:
    """A listener with these filters; clusters by name, each with its address, of which `upstream` is routed to."""
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "use_remote_address": True,
        "http_filters": [*http_filters, {"name": "router", "typed_config": {"@type": f"{FILTERS}.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "upstream",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ]
        },
    }
    listener = {
        "name": "bench",
        "address": socket_address("127.0.0.1:0"),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {
        "admin": {"address": socket_address("127.0.0.1:0")},
        "static_resources": {
            "listeners": [listener],
            "clusters": [cluster(name, address) for name, address in clusters.items()],
        },
    }


def cluster(name: str, address: str) -> dict:
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


def socket_address(address: str) -> dict:
    host, port = address.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}

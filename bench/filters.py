"""The HTTP filters that the benchmark compares, and the bootstrap around them."""

from pathlib import Path

from harness import envoy
from harness.envoy import FILTERS, Json
from harness.rest_sessions import APP

FOLDER = Path(__file__).resolve().parent


def ours(**keys: object) -> Json:
    """This project's filter: its required keys, and these."""
    return envoy.wasm_filter({"app": APP, "rest_sessions": {"cluster": "rest-sessions"}, **keys})


def lua() -> Json:
    code = {"filename": str(FOLDER / "rest_sessions.lua")}
    return {"name": "lua", "typed_config": {"@type": f"{FILTERS}.lua.v3.Lua", "default_source_code": code}}


def ext_authz() -> Json:
    trace = ["x-request-id", "traceparent", "tracestate", "b3"]
    asked = [{"exact": name, "ignore_case": True} for name in ["cookie", *trace]] + [{"prefix": "x-b3-"}]
    annotated = [{"exact": name} for name in ("x-session-user", "x-session-data")]
    return {
        "name": "ext_authz",
        "typed_config": {
            "@type": f"{FILTERS}.ext_authz.v3.ExtAuthz",
            "allowed_headers": {"patterns": asked},
            # Envoy does not pass on a 5xx of the service; this status replaces it.
            "status_on_error": {"code": "ServiceUnavailable"},
            "http_service": {
                "server_uri": {"uri": "http://authz", "cluster": "authz", "timeout": "0.6s"},
                "authorization_response": {"allowed_upstream_headers": {"patterns": annotated}},
            },
        },
    }


def bootstrap(http_filters: list[Json], clusters: dict[str, str]) -> Json:
    """A listener with these filters. `clusters` maps names to addresses; requests are routed to `upstream`."""
    return envoy.bootstrap(http_filters, [envoy.cluster(*item) for item in clusters.items()], route_to="upstream")

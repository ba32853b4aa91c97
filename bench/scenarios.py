"""The rows of the comparison: each an Envoy and the requests that it gets."""

from dataclasses import dataclass, field
from pathlib import Path

from bench.filters import ext_authz, lua, ours
from harness.envoy import Json, wasm_filter

NO_OP = "no-op"


@dataclass
class Scenario:
    """An Envoy with these filters, and the requests that it gets."""

    key: str
    name: str
    filters: list[Json]
    # Whether the requests have a session's token.
    sessions: bool = True
    refused: bool = False
    # Lookups that Envoy itself sends for each request.
    calls: int = 0
    # Whether the authorization service is needed, and whether rest-sessions on Redis answers in place of the stub.
    authz: bool = False
    redis: bool = False
    # The scenarios that its CPU is compared with, beside the no-op filter.
    against: list[str] = field(default_factory=list)


def scenarios(noop: Path) -> list[Scenario]:
    required = ours(default={"session": "required"})
    return [
        Scenario("none", "no filter", []),
        Scenario(NO_OP, "the SDK's no-op filter", [wasm_filter({}, module=noop)]),
        Scenario("off", "ours, `off`", [ours(default={"session": "off"})]),
        # The cache keeps sessions for longer than the benchmark lasts, and is filled by the warm-up.
        Scenario(
            "cached",
            "ours, allowed from the cache",
            [ours(default={"session": "required"}, cache={"ttl": "1h"})],
            against=["lua", "ext_authz"],
        ),
        Scenario("denied", "ours, denied without a token", [required], sessions=False, refused=True),
        Scenario("call", "ours, one call a request", [required], calls=1, against=["lua", "ext_authz"]),
        Scenario("lua", "Lua that does the same", [lua()], calls=1),
        Scenario("ext_authz", "ext_authz over HTTP", [ext_authz()], authz=True),
        Scenario(
            "call-redis",
            "ours, one call a request, rest-sessions on Redis",
            [required],
            calls=1,
            redis=True,
            against=["lua-redis", "ext_authz-redis"],
        ),
        Scenario("lua-redis", "Lua that does the same, rest-sessions on Redis", [lua()], calls=1, redis=True),
        Scenario(
            "ext_authz-redis", "ext_authz over HTTP, rest-sessions on Redis", [ext_authz()], authz=True, redis=True
        ),
    ]

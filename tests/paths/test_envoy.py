"""The same through a real Envoy with the module, over HTTP/1.1 and HTTP/2: no protected route is served without a
session, and the module decides as path-decisions does on the paths that Envoy lets through."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from harness import envoy
from harness.envoy import Envoy
from harness.paths import envoy_bin
from harness.processes import Supervisor, free_ports
from tests.paths.catalogue import SERVERS, Server, make_place, remove_place
from tests.paths.client import SERVED, Client, is_sendable
from tests.paths.conftest import passing
from tests.paths.decisions import Decision, Decisions
from tests.paths.http2 import Http2Client
from tests.paths.regressions import regressions
from tests.paths.routes import OPEN, POLICIES, Policy, example
from tests.paths.targets import random_targets, single_changes

# Servers that read paths in ways of their own.
SAMPLE = (
    "express5",
    "fastify4-lax",
    "node-url-decoded",
    "bottle@waitress",
    "django-asgi-nocase@uvicorn-httptools",
    "tomcat",
)
# The policies with which the module runs; the others differ in their rules alone.
SAMPLED_POLICIES = ("protect-some", "protect-exactly", "open-some")
# Of the targets of a server in the other tests.
PART = 12


@dataclass
class Mesh:
    """An Envoy for each policy, and servers behind each of them, by the name of the host."""

    envoys: dict[str, Envoy]
    servers: list[Server]


def in_front_of(supervisor: Supervisor, addresses: dict[str, str], policy: Policy) -> Envoy:
    """An Envoy that sends the host NAME.example to each server. There is no rest-sessions: no request has a token."""
    (unused,) = free_ports(1)
    clusters = [envoy.cluster("rest-sessions", f"127.0.0.1:{unused}")]
    clusters += [envoy.cluster(name, address) for name, address in addresses.items()]
    bootstrap = envoy.bootstrap([envoy.wasm_filter(policy.configuration, as_json=True)], clusters)
    (listener,) = bootstrap["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"] = [
        {
            "name": name,
            "domains": [host(name)],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": name}}],
        }
        for name in addresses
    ]
    return Envoy(supervisor, envoy_bin(), bootstrap)


def host(name: str) -> str:
    return f"{name.replace('@', '.')}.example"


@pytest.fixture(scope="module")
def mesh(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    kinds = pytestconfig.getoption("--without")
    sample = [server for server in SERVERS if server.name in SAMPLE and server.kind not in kinds]
    servers = [server for server in sample if server.needs.exists()]
    if not servers:
        pytest.skip("no server is installed")
    with ExitStack() as stack:
        supervisor = stack.enter_context(Supervisor(tmp_path_factory.mktemp("mesh")))
        addresses = {}
        for server in servers:
            place = make_place()
            stack.callback(remove_place, place)
            addresses[server.name] = server.start(server, supervisor, place).address
        policies = [policy for policy in POLICIES if policy.name in SAMPLED_POLICIES]
        yield Mesh({policy.name: in_front_of(supervisor, addresses, policy) for policy in policies}, servers)


@pytest.fixture(scope="module")
def targets(pytestconfig: pytest.Config) -> list[bytes]:
    """Those that the filter lets pass, some that it refuses, and all the known ones."""
    seed, count = pytestconfig.getoption("--seed"), pytestconfig.getoption("--targets") // PART
    chance = random.Random(f"{seed} envoy")
    everything = [*chance.sample(sorted(set(single_changes())), 4 * count), *random_targets(seed, 4 * count)]
    # Over HTTP/2, Envoy ends the connection if a path does not start with a slash.
    everything = [target for target in everything if target.startswith(b"/") and is_sendable(target)]
    passed = passing(everything)
    refused = [target for target in everything if target not in set(passed)]
    known = [target for target, _ in regressions()]
    # What the servers serve without a session in each of the policies.
    known += [example(name).encode() for name in OPEN]
    return [*known, *chance.sample(passed, min(count, len(passed))), *chance.sample(refused, min(count, len(refused)))]


def disagreement(decision: Decision, status: int, body: bytes) -> str | None:
    """What contradicts the decision in an answer. Envoy itself refuses some targets, with 400 and another body."""
    by_filter = body.startswith((b'{"error":"session_required"', b'{"error":"ambiguous_path"'))
    if decision.mode == "refused":
        return None if status == 400 else f"{status}, though the filter refuses it"
    if decision.mode == "required":
        return None if status == 401 or (status == 400 and not by_filter) else f"{status}, though it needs a session"
    return "an error of the filter, though it passes" if by_filter else None


@pytest.mark.parametrize("policy", SAMPLED_POLICIES)
@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_no_protected_route_is_served_through_envoy_without_a_session(
    protocol: str, policy: str, mesh: Mesh, targets: list[bytes]
) -> None:
    envoy_address = mesh.envoys[policy].address
    (index,) = [index for index, other in enumerate(POLICIES) if other.name == policy]
    wrong, statuses = [], Counter[int]()
    with ExitStack() as stack:
        decisions = stack.enter_context(Decisions())
        http1, http2 = Client(envoy_address), stack.enter_context(Http2Client(envoy_address))
        stack.callback(http1.close)
        decided = decisions.of_all(targets)
        for server in mesh.servers:
            if not server.suits(POLICIES[index]):
                continue
            for target, all_decisions in zip(targets, decided, strict=True):
                if protocol == "HTTP/2":
                    answer = http2.get(target, host(server.name))
                else:
                    answer = http1.get(target, host(server.name))
                if answer is None:
                    continue
                status, body = answer
                statuses[status] += 1
                found = SERVED.search(body)
                served = found[1].decode() if found else None
                if served and decisions.of_route(served)[index].mode == "required":
                    wrong.append((server.name, target, f"serves {example(served)}"))
                elif problem := disagreement(all_decisions[index], status, body):
                    wrong.append((server.name, target, problem))
    print(f"{protocol}, {policy}: {dict(statuses)}")
    assert wrong == []
    # Neither Envoy nor the servers refuse everything.
    assert statuses[200] and statuses[400] and statuses[401]

"""The benchmarks compare like with like: Envoy accepts all configurations, and the filter, Lua and ext_authz give the
same answers; every round measures both revisions of rest-sessions alike. They are not run here."""

import json
from collections.abc import Iterator
from itertools import product
from typing import TypeVar

import pytest
import requests

from bench import files, report, services
from bench.filters import bootstrap, ext_authz, lua, ours
from bench.rounds import MeasurementError, Round, in_turn, ratios, ratios_of, spread
from bench.scenarios import Scenario, scenarios
from bench.server import report as server_report
from bench.server import revision
from bench.server.measure import PROCESSES
from harness import envoy
from harness.envoy import Envoy
from harness.paths import TARGET, envoy_bin, programs
from harness.processes import Supervisor, free_ports
from harness.rest_sessions import APP, COOKIE

NO_OP_MODULE = TARGET / "wasm32-wasip1" / "sdk" / "bench_noop.wasm"
SCENARIOS = scenarios(NO_OP_MODULE)
PEERS = {"ours": [ours()], "Lua": [lua()], "ext_authz": [ext_authz()]}
LOOPBACK = "127.0.0.1:0"
NOWHERE = "127.0.0.1:1"
# What identifies a local reply of the filter, beside its status and body.
DENIAL_HEADERS = ("content-type", "cache-control", "www-authenticate", "retry-after")
Answer = tuple[int, list[str]] | tuple[int, dict[str, str], str | None]
T = TypeVar("T")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.key)
def test_envoy_accepts_every_configuration(scenario: Scenario) -> None:
    assert NO_OP_MODULE.is_file(), f"{NO_OP_MODULE} is missing: run these tests with `make test`"
    clusters = dict.fromkeys(("upstream", "rest-sessions", "authz"), NOWHERE)
    done = envoy.validate(bootstrap(scenario.filters, clusters))
    assert done.returncode == 0, done.stderr


def test_every_comparison_names_a_scenario() -> None:
    keys = [scenario.key for scenario in SCENARIOS]
    assert len(set(keys)) == len(keys)
    assert {other for scenario in SCENARIOS for other in scenario.against} <= set(keys)


class Peers:
    """Each peer in an Envoy of its own, before one upstream that echoes its requests."""

    def __init__(self, supervisor: Supervisor, upstream: str, sessions: str) -> None:
        command = [programs() / "bench-peers", "authz", "--listen", LOOPBACK, "--sessions", sessions, "--app", APP]
        authz = supervisor.start("authz", *command).wait_for_address()
        clusters = {"upstream": upstream, "rest-sessions": sessions, "authz": authz}
        self.envoys = {
            name: Envoy(supervisor, envoy_bin(), bootstrap(filters, clusters)) for name, filters in PEERS.items()
        }

    def answers(self, *tokens: str) -> dict[str, Answer]:
        return {name: answer(peer.address, tokens) for name, peer in self.envoys.items()}


def answer(address: str, tokens: tuple[str, ...]) -> Answer:
    """The status and what identifies an answer: session headers that reached the upstream, or those of a denial."""
    cookie = "; ".join(["theme=dark", *(f"{COOKIE}={token}" for token in tokens)])
    headers = {"cookie": cookie, "x-session-user": "admin"}
    response = requests.get(f"http://{address}/seen/account", headers=headers, timeout=10)
    if response.ok:
        return response.status_code, sorted(line for line in response.text.splitlines() if line.startswith("x-session"))
    shown = {name: response.headers[name] for name in DENIAL_HEADERS if name in response.headers}
    return response.status_code, shown, response.json()["error"] if response.content else None


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    with Supervisor(tmp_path_factory.mktemp("bench")) as supervisor:
        yield supervisor


@pytest.fixture(scope="module")
def upstream(supervisor: Supervisor) -> str:
    return supervisor.start("shop", programs() / "shop", "--listen", LOOPBACK).wait_for_address()


@pytest.fixture(scope="module")
def peers(supervisor: Supervisor, upstream: str) -> Peers:
    command = [programs() / "bench-peers", "sessions", "--listen", LOOPBACK]
    return Peers(supervisor, upstream, supervisor.start("sessions", *command).wait_for_address())


@pytest.fixture(scope="module")
def peers_without_sessions(supervisor: Supervisor, upstream: str) -> Peers:
    """Nothing listens on the address of rest-sessions."""
    (port,) = free_ports(1)
    return Peers(supervisor, upstream, f"127.0.0.1:{port}")


def all_of(expected: T) -> dict[str, T]:
    return dict.fromkeys(PEERS, expected)


DENIED = (
    401,
    {
        "content-type": "application/json",
        "cache-control": "no-store",
        "www-authenticate": f'Session realm="{APP}"',
    },
    "session_required",
)
UNKNOWN = "x" * 55 + "Z00000001"


def test_every_peer_annotates_a_request_with_a_session_and_removes_a_spoofed_user(peers: Peers) -> None:
    data = '{"name":"' + "n" * 89 + '"}'
    expected = (200, [f"x-session-data: {data}", "x-session-user: user123"])
    assert peers.answers(services.token(1, data_bytes=100)) == all_of(expected)


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param([], id="no token"),
        pytest.param([UNKNOWN], id="unknown token"),
        pytest.param(["short"], id="no token by its form"),
        pytest.param([services.token(1), services.token(2)], id="two tokens"),
        pytest.param([services.token(1)[:56] + "zzzzzzzz"], id="token of the future"),
    ],
)
def test_every_peer_denies_a_request_without_a_session_alike(peers: Peers, tokens: list[str]) -> None:
    assert peers.answers(*tokens) == all_of(DENIED)


def test_every_peer_denies_requests_while_rest_sessions_is_unavailable(peers_without_sessions: Peers) -> None:
    headers = {"content-type": "application/json", "cache-control": "no-store", "retry-after": "1"}
    refused = (503, headers, "sessions_unavailable")
    # Envoy's ext_authz replaces a 5xx of its service by a status of its own.
    assert peers_without_sessions.answers(services.token(1)) == all_of(refused) | {"ext_authz": (503, {}, None)}
    assert peers_without_sessions.answers() == all_of(DENIED)


def rounds_of(ratios: list[float]) -> list[Round]:
    return [{"base": {"cpu_us": 20.0}, "present": {"cpu_us": 20.0 * ratio}} for ratio in ratios]


def test_the_spread_of_a_ratio_is_the_confidence_interval_of_its_median() -> None:
    rounds = rounds_of([1.5, 0.5, *(1 + number / 100 for number in range(-7, 7)), 1.6, 0.4])
    assert ratios(rounds, "present", "base")["cpu_us"] == pytest.approx(0.995)
    found = spread(ratios_of(rounds, "present", "base", "cpu_us"))
    assert found == pytest.approx({"low": 0.95, "median": 0.995, "high": 1.04})


def test_the_spread_of_few_ratios_is_all_of_them() -> None:
    assert spread([1.2, 1.0, 1.1]) == {"low": 1.0, "median": 1.1, "high": 1.2}


def test_every_process_of_a_revision_is_measured_in_both_directions() -> None:
    servers = [f"process {number}" for number in range(PROCESSES)]
    seen = [(in_turn(servers, number)[0] == servers[0], number // 2 % PROCESSES) for number in range(2 * PROCESSES)]
    assert sorted(set(seen)) == sorted((way, process) for way in (False, True) for process in range(PROCESSES))


@pytest.mark.parametrize("base", ["no-such-revision", "0123456789"])
def test_an_unknown_revision_is_named_with_what_helps(base: str) -> None:
    with pytest.raises(MeasurementError, match=f"^revision {base}: this clone does not have it; fetch it .*--base"):
        revision.commit_of(base)


def test_every_page_with_figures_shows_those_of_the_last_run() -> None:
    results = json.loads(report.RESULTS.read_text())
    pages = report.pages(results)
    assert [path.name for path in pages] == ["README.md", "performance.md", "from-django-rest-sessions.md"]
    for path, figures in pages.items():
        assert files.shown(report.RESULTS, figures) in path.read_text(), path
    assert pages[files.README].count("|") == 3 * (len(report.IN_README) + 1)


def test_the_figures_of_rest_sessions_are_those_of_the_last_run() -> None:
    results = json.loads(server_report.RESULTS.read_text())
    (figures,) = server_report.pages(results).values()
    assert files.shown(server_report.RESULTS, figures) in files.PERFORMANCE.read_text()
    assert [(row["store"], row["call"]) for row in results["calls"]] == list(
        product(("memory", "redis"), ("get", "set"))
    )

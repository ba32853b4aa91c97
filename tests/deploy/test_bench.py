"""The benchmark compares like with like: all its configurations are sound, and the filter, Lua and ext_authz give the
same answers. It is not run here."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import support
from bench import report, services
from bench.bootstraps import APP, COOKIE, bootstrap, ext_authz, lua, ours
from bench.processes import Envoy, Programs, free_port
from bench.scenarios import scenarios
from support import ROOT

NO_OP_MODULE = (
    Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "wasm32-wasip1" / "sdk" / "bench_noop.wasm"
)
SCENARIOS = scenarios(NO_OP_MODULE)
PEERS = {"ours": [ours()], "Lua": [lua()], "ext_authz": [ext_authz()]}
LOOPBACK = "127.0.0.1:0"
NOWHERE = "127.0.0.1:1"
# Of an answer of the filter's own, beside its status and body.
TELLING = ("content-type", "cache-control", "www-authenticate", "retry-after")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.key)
def test_envoy_takes_every_configuration(scenario):
    assert NO_OP_MODULE.is_file(), f"{NO_OP_MODULE} is missing: run these tests with `make test`"
    clusters = dict.fromkeys(("upstream", "rest-sessions", "authz"), NOWHERE)
    done = support.validate(bootstrap(scenario.filters, clusters))
    assert done.returncode == 0, done.stderr


def test_every_comparison_names_a_scenario():
    keys = [scenario.key for scenario in SCENARIOS]
    assert len(set(keys)) == len(keys)
    assert {other for scenario in SCENARIOS for other in scenario.against} <= set(keys)


class Peers:
    """Each peer in an Envoy of its own, all in front of one upstream, which shows its requests."""

    def __init__(self, start, folder, upstream, sessions):
        program = support.programs() / "bench-peers"
        authz = start("authz", program, "authz", "--listen", LOOPBACK, "--sessions", sessions, "--app", APP).address()
        clusters = {"upstream": upstream, "rest-sessions": sessions, "authz": authz}
        self.envoys = {
            name: Envoy(start, support.envoy_bin(), folder, bootstrap(filters, clusters))
            for name, filters in PEERS.items()
        }

    def answers(self, *cookies):
        return {name: answer(envoy.address, cookies) for name, envoy in self.envoys.items()}


def answer(address, tokens):
    """What tells one answer from another: of the upstream's, the headers that it was told of the session."""
    cookie = "; ".join(["theme=dark", *(f"{COOKIE}={token}" for token in tokens)])
    request = urllib.request.Request(f"http://{address}/seen/account", headers={"cookie": cookie, "x-session-user": "admin"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            lines = response.read().decode().splitlines()
            return response.status, sorted(line for line in lines if line.startswith("x-session"))
    except urllib.error.HTTPError as error:
        headers = {name: error.headers[name] for name in TELLING if name in error.headers}
        body = error.read()
        return error.code, headers, json.loads(body)["error"] if body else None


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    with Programs(folder).running() as start:
        yield start, folder


@pytest.fixture(scope="module")
def upstream(programs):
    start, _ = programs
    return start("shop", support.programs() / "shop", "--listen", LOOPBACK).address()


@pytest.fixture(scope="module")
def peers(programs, upstream):
    start, folder = programs
    sessions = start("sessions", support.programs() / "bench-peers", "sessions", "--listen", LOOPBACK).address()
    return Peers(start, folder, upstream, sessions)


@pytest.fixture(scope="module")
def peers_alone(programs, upstream):
    start, folder = programs
    return Peers(start, folder, upstream, f"127.0.0.1:{free_port()}")


def all_of(expected):
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


def test_a_request_with_a_session_passes_annotated_everywhere_and_a_forged_user_nowhere(peers):
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
def test_a_request_without_a_session_is_denied_alike_everywhere(peers, tokens):
    assert peers.answers(*tokens) == all_of(DENIED)


def test_while_the_session_service_is_away_all_refuse(peers_alone):
    headers = {"content-type": "application/json", "cache-control": "no-store", "retry-after": "1"}
    refused = (503, headers, "sessions_unavailable")
    # Envoy's ext_authz passes no 5xx of its service on, only a status of its own.
    assert peers_alone.answers(services.token(1)) == all_of(refused) | {"ext_authz": (503, {}, None)}
    assert peers_alone.answers() == all_of(DENIED)


def test_every_page_with_figures_shows_those_of_the_last_run():
    pages = report.pages(json.loads(report.RESULTS.read_text()))
    assert [path.name for path in pages] == ["README.md", "performance.md", "from-django-rest-sessions.md"]
    for path, figures in pages.items():
        assert report.MARKS[0] + figures + report.MARKS[1] in path.read_text(), path
    assert pages[report.README].count("|") == 3 * (len(report.IN_README) + 1)

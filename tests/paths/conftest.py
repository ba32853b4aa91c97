"""Options of these tests, and the rounds, which run side by side."""

import os
import random
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.paths import rounds
from tests.paths.catalogue import SERVERS, Server
from tests.paths.client import is_sendable
from tests.paths.decisions import Decisions
from tests.paths.regressions import regressions
from tests.paths.targets import random_targets, single_changes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=1, help="what the targets follow from")
    parser.addoption("--targets", type=int, default=1500, help="how many targets each server gets, half of them random")
    parser.addoption("--server", action="append", help="only this server; may be repeated")
    parser.addoption("--without", action="append", default=[], help="no server of this kind, such as go")


def pytest_configure() -> None:
    """SIGTERM ends the tests as Ctrl-C does, so that the servers are ended too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def chosen(config: pytest.Config) -> list[Server]:
    names, kinds = config.getoption("--server"), config.getoption("--without")
    return [server for server in SERVERS if (not names or server.name in names) and server.kind not in kinds]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        servers = chosen(metafunc.config)
        metafunc.parametrize("server", servers, ids=[server.name for server in servers])


def passing(targets: list[bytes]) -> list[bytes]:
    """Those that can be sent and that some policy lets pass without a session: only these can violate one."""
    sendable = list(dict.fromkeys(filter(is_sendable, targets)))
    with Decisions() as decisions:
        decided = decisions.of_all(sendable)
    return [
        target
        for target, all_decisions in zip(sendable, decided, strict=True)
        if any(decision.mode == "off" for decision in all_decisions)
    ]


@pytest.fixture(scope="session")
def results(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[rounds.Round]]]:
    """The round of each server that can be started, under its name."""
    seed, count = pytestconfig.getoption("--seed"), pytestconfig.getoption("--targets")
    logs = tmp_path_factory.mktemp("paths")
    single = passing(list(single_changes()))
    # About a third of the random targets passes.
    mixed = passing(random_targets(seed, 20 * count))
    known = [target for target, _ in regressions()]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:

        def start(server: Server) -> Future[rounds.Round]:
            chance = random.Random(f"{seed} {server.name}")
            half = count // 2
            parts = (chance.sample(part, min(half, len(part))) for part in (single, mixed))
            return pool.submit(rounds.run, server, [*known, *(target for part in parts for target in part)], logs)

        yield {server.name: start(server) for server in chosen(pytestconfig) if server.needs.exists()}
        pool.shutdown(cancel_futures=True)

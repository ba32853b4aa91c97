"""Whatever a real server serves as a protected path is never passed by another rule than that path's own."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future

import pytest

from tests.paths.catalogue import Server
from tests.paths.decisions import Decisions
from tests.paths.rounds import Round
from tests.paths.routes import POLICIES
from tests.paths.spellings import documented, is_documented
from tests.paths.targets import honest_targets

# What honest clients send costs nothing to decide.
HONEST_TARGETS = 5000


def test_no_spelling_that_the_server_serves_passes_by_another_rule(
    server: Server, results: Mapping[str, Future[Round]], record_property: Callable[[str, object], None]
) -> None:
    if server.name not in results:
        pytest.skip(f"{server.needs} is missing: see what `make test-paths` could not install")
    done = results[server.name].result()
    for name in ("version", "sent", "served"):
        record_property(name, getattr(done, name))
    print(f"{server.name} ({done.version}): {done.sent} targets, {done.served} of them served")
    assert not done.missing, f"{server.name} does not serve {done.missing} at their plain paths"
    assert not done.findings, "\n".join(map(str, done.findings))


def test_the_documentation_names_the_spellings_that_the_server_serves(
    server: Server, results: Mapping[str, Future[Round]]
) -> None:
    if server.name not in results:
        pytest.skip(f"{server.needs} is missing")
    done = results[server.name].result()
    if not is_documented(done.version):
        pytest.skip(f"the documentation names another version than {done.version}")
    assert documented().get(server.name) == done.spellings


def test_no_target_that_honest_clients_send_is_refused(pytestconfig: pytest.Config) -> None:
    targets = honest_targets(pytestconfig.getoption("--seed"), HONEST_TARGETS)
    with Decisions() as decisions:
        decided = decisions.of_all(targets)
    refused = [
        (target, policy.name)
        for target, decisions_on_it in zip(targets, decided, strict=True)
        for policy, decision in zip(POLICIES, decisions_on_it, strict=True)
        if decision.mode == "refused"
    ]
    assert refused == []

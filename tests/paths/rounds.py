"""One round: targets that the filter lets pass go to a server, and what it serves is held against the policies."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.processes import Supervisor
from tests.paths.catalogue import Server, make_place, remove_place
from tests.paths.client import Client, is_sendable
from tests.paths.decisions import Decisions
from tests.paths.routes import example
from tests.paths.spellings import served_spellings

# So many different findings are made small and reported: one cause has many spellings.
MAX_FINDINGS = 5
# Puma does not answer some malformed targets at all. Other answers take milliseconds.
ANSWER_SECONDS = 1


@dataclass(frozen=True)
class Finding:
    """A server serves a protected route at a target that a policy lets pass by another rule."""

    server: str
    target: bytes
    served: str
    policy: str
    rule: str

    def __str__(self) -> str:
        target = self.target.decode("latin-1").encode("unicode_escape").decode()
        return f"{self.server} serves {example(self.served)} at {target}, which {self.policy} lets pass as {self.rule}"


@dataclass
class Round:
    """What came of it."""

    version: str
    sent: int
    served: int
    missing: list[str]
    spellings: list[str]
    findings: list[Finding]


class Comparison:
    """A running server and the filter's decisions."""

    def __init__(self, server: Server, client: Client, decisions: Decisions) -> None:
        self.server = server
        self.client = client
        self.decisions = decisions

    def finding(self, target: bytes) -> Finding | None:
        if not is_sendable(target) or (self.server.drops_suffix and (b"." in target or b"%2e" in target.lower())):
            return None
        served = self.client.served(target)
        if served is None:
            return None
        for policy, rule in self.decisions.violated(target, served):
            if self.server.suits(policy):
                return Finding(self.server.name, target, served, policy.name, rule)
        return None

    def shrunk(self, finding: Finding) -> Finding:
        """The finding with all bytes removed that it does not need, and each other byte made plain that may be."""
        smallest, improved = finding, True
        while improved:
            improved = False
            for candidate in smaller(smallest.target):
                if found := self.finding(candidate):
                    smallest, improved = found, True
                    break
        return smallest


def smaller(target: bytes) -> Iterable[bytes]:
    """Simpler targets: with bytes removed, long runs first, or with an escape decoded."""
    for length in (16, 8, 6, 5, 4, 3, 2, 1):
        for start in range(len(target) - length + 1):
            yield target[:start] + target[start + length :]
    for start, byte in enumerate(target):
        if byte == ord("%"):
            try:
                decoded = bytes([int(target[start + 1 : start + 3], 16)])
            except ValueError:
                continue
            yield target[:start] + decoded + target[start + 3 :]


def run(server: Server, targets: Iterable[bytes], logs: Path) -> Round:
    """Starts the server, sends it the targets, and ends it."""
    place = make_place()
    try:
        with Supervisor(logs) as supervisor, Decisions() as decisions:
            running = server.start(server, supervisor, place)
            client = Client(running.address)
            try:
                comparison = Comparison(server, client, decisions)
                return compare(comparison, targets, running.version, running.process.check)
            finally:
                client.close()
    finally:
        remove_place(place)


def compare(comparison: Comparison, targets: Iterable[bytes], version: str, check: Callable[[], None]) -> Round:
    client, server = comparison.client, comparison.server
    result = Round(version, 0, 0, [], served_spellings(client, server.serves), [])
    result.missing = [name for name in server.serves if client.served(example(name).encode()) != name]
    client.close()
    client.timeout_seconds = ANSWER_SECONDS
    for target in targets:
        result.sent += 1
        served = client.served(target)
        if served is None:
            continue
        result.served += 1
        if (found := comparison.finding(target)) and len(result.findings) < MAX_FINDINGS:
            small = comparison.shrunk(found)
            if small.target not in [other.target for other in result.findings]:
                result.findings.append(small)
    check()
    return result

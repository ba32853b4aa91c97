"""The filter's decisions, by the program path-decisions, which drives the core's own selection."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from harness.paths import TARGET
from tests.paths.routes import POLICIES, Policy, example

PROGRAM = TARGET / "peers" / "path-decisions"
# Targets that are in the pipe at once. More could fill both pipes, and the two programs would wait for each other.
BATCH = 200


@dataclass(frozen=True)
class Decision:
    """The session mode and the name of the selected rule; the mode of a refused request is `refused`."""

    mode: str
    rule: str


class Decisions:
    """A running path-decisions. It answers about one target at a time or about many."""

    def __init__(self) -> None:
        assert PROGRAM.is_file(), f"{PROGRAM} is missing: run these tests with `make test-paths`"
        command = [str(PROGRAM), *(policy.text() for policy in POLICIES)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.own: dict[str, list[Decision]] = {}

    def __enter__(self) -> "Decisions":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def of_all(self, targets: Sequence[bytes]) -> list[list[Decision]]:
        """For each target, the decision of each of `POLICIES`."""
        assert self.process.stdin and self.process.stdout
        decided: list[list[Decision]] = []
        for start in range(0, len(targets), BATCH):
            batch = targets[start : start + BATCH]
            self.process.stdin.write(b"".join(target + b"\n" for target in batch))
            self.process.stdin.flush()
            for _ in batch:
                line = self.process.stdout.readline().decode()
                assert line, "path-decisions has ended"
                decided.append([Decision(*text.split(":", 1)) for text in line.split()])
        return decided

    def of(self, target: bytes) -> list[Decision]:
        return self.of_all([target])[0]

    def of_route(self, name: str) -> list[Decision]:
        """The decisions on a route's plain path."""
        if name not in self.own:
            self.own[name] = self.of(example(name).encode())
        return self.own[name]

    def violated(self, target: bytes, served: str) -> list[tuple[Policy, str]]:
        """The policies that let pass, by another rule than the served route's, a request to what they protect; each
        with that rule."""
        return [
            (policy, decision.rule)
            for policy, decision, own in zip(POLICIES, self.of(target), self.of_route(served), strict=True)
            if own.mode == "required" and decision.mode != "refused" and decision.rule != own.rule
        ]

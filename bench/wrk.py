"""The load: wrk with its script, load.lua."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import interrupt_after
from bench.rounds import CONNECTIONS, Row, Run
from harness.processes import Supervisor

SCRIPT = Path(__file__).resolve().parent / "load.lua"
# Stands for a line of the file in a URL or a header, as load.lua says.
PLACEHOLDER = "the-line-goes-here"
END_SECONDS = 30


@dataclass
class Requests:
    """What wrk sends, again and again."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    # A file whose lines the requests take in turn.
    lines: Path | None = None
    # JSON; the request is a POST then.
    body: str | None = None
    # Milliseconds that each connection waits before each request.
    pause: int | None = None

    def arguments(self) -> list[str]:
        """The command line of wrk from the headers on."""
        headers = [part for name, value in self.headers.items() for part in ("-H", f"{name}: {value}")]
        chosen = {"lines": self.lines, "body": self.body, "pause": self.pause}
        return [*headers, self.url, "--", *(f"{key}={value}" for key, value in chosen.items() if value is not None)]


class Load:
    """A wrk that is running."""

    def __init__(
        self, run: Run, supervisor: Supervisor, requests: Requests, most_seconds: float, connections: int = CONNECTIONS
    ) -> None:
        # wrk takes whole seconds, but also reports when it is interrupted.
        command = [run.wrk, "-t", 1, "-c", connections, "-d", f"{math.ceil(most_seconds)}s", "-s", SCRIPT]
        self.process = supervisor.start("load", *command, *requests.arguments())

    def end_after(self, seconds: float) -> Row:
        """Ends it, and returns its report."""
        interrupt_after(self.process, seconds)
        seen: Row = json.loads(self.process.wait_for_end(END_SECONDS).splitlines()[-1])
        return seen


def send(run: Run, requests: Requests, seconds: float, connections: int = CONNECTIONS) -> Row:
    """Sends as many requests as are answered in this time. Returns wrk's report."""
    with run.supervisor() as supervisor:
        return Load(run, supervisor, requests, seconds + 1, connections).end_after(seconds)

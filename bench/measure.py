"""The measurements: rounds in alternation over running Envoys, and medians of what was seen."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.bootstraps import APP, COOKIE, FOLDER, bootstrap
from bench.processes import Envoy, Problem, Program, Programs
from bench.scenarios import NO_OP, Scenario
from bench.services import Services

CONNECTIONS = 32
# Of one measurement. Short ones, and many of them in turn: what else the machine does meets all alike.
LOAD_SECONDS = 0.25
# Before the first one, so that all sessions are kept that can be.
WARM_UP_SECONDS = 1
DJANGO_REQUESTS = 200
# What wrk sends, and how it reports.
SCRIPT = FOLDER / "load.lua"
METRICS = ("cpu_us", "rps", "p50_ms", "p99_ms")

DJANGO = "django"
DJANGO_NAME = "django-rest-sessions in the service"


@dataclass
class Run:
    """What every measurement needs."""

    folder: Path
    envoy: Path
    wrk: Path
    programs: Programs
    rounds: int


@dataclass
class Subject:
    """Something to measure: an Envoy, and the requests that it gets."""

    key: str
    envoy: Envoy
    # Whether all requests are to be refused; else all are to pass.
    refused: bool = False
    calls: int = 0
    # A file of Cookie headers, which the requests take in turn.
    cookies: Path | None = None
    path: str = "/"


def load(run: Run, subject: Subject, seconds: float = LOAD_SECONDS, connections: int = CONNECTIONS) -> dict:
    """As many requests as Envoy answers in so many seconds, and what wrk saw of them."""
    # It takes whole seconds, but ends with a report when it is interrupted.
    command = [run.wrk, "-t", 1, "-c", connections, "-d", f"{math.ceil(seconds) + 1}s", "-s", SCRIPT]
    command += [f"http://{subject.envoy.address}{subject.path}", "--", *([subject.cookies] if subject.cookies else [])]
    with run.programs.running() as start:
        program = start("load", *command)
        program.interrupt_after(seconds)
        seen = json.loads(program.output_when_done(30).splitlines()[-1])
    expected = seen["requests"] if subject.refused else 0
    if seen["broken"] or seen["refused"] != expected or not seen["requests"]:
        raise Problem(f"{subject.key}: {expected} of the requests were to be refused; wrk saw {seen}")
    return seen


def measure(run: Run, subject: Subject) -> dict:
    """One round of one subject. What did not do what it should is no measurement but a mistake."""
    cpu, calls = subject.envoy.program.cpu_seconds(), subject.envoy.calls()
    seen = load(run, subject)
    cpu = subject.envoy.program.cpu_seconds() - cpu
    calls = subject.envoy.calls() - calls
    # When wrk ends it leaves what is under way.
    if not 0 <= calls - subject.calls * seen["requests"] <= subject.calls * CONNECTIONS:
        raise Problem(f"{subject.key}: {subject.calls} calls a request expected, {calls} for {seen} seen")
    return figures(seen, cpu / seen["requests"] * 1e6)


def figures(seen: dict, cpu_us: float) -> dict:
    return {
        "cpu_us": cpu_us,
        "rps": seen["requests"] / seen["seconds"],
        "p50_ms": seen["p50_us"] / 1e3,
        "p99_ms": seen["p99_us"] / 1e3,
    }


def alternate(run: Run, subjects: list[Subject], rounds: int) -> Iterator[dict[str, dict]]:
    """Each round measures every subject once, every other one backwards, so that a drift of the machine evens out."""
    for subject in subjects:
        load(run, subject, WARM_UP_SECONDS)
    for number in range(rounds):
        order = subjects if number % 2 == 0 else subjects[::-1]
        yield {subject.key: measure(run, subject) for subject in order}


def medians(rounds: list[dict[str, dict]], key: str) -> dict:
    return {metric: median(seen[key][metric] for seen in rounds) for metric in METRICS}


def ratios(rounds: list[dict[str, dict]], key: str, base: str) -> dict:
    """The median of the ratios of each round, since both sides of one were measured under the same conditions."""
    return {metric: median(seen[key][metric] / seen[base][metric] for seen in rounds) for metric in METRICS}


def compare(run: Run, services: Services, table: list[Scenario]) -> list[dict]:
    """The table of scenarios: medians, and ratios to the no-op filter."""
    with running(run, services, table) as subjects:
        rounds = []
        for seen in alternate(run, subjects, run.rounds):
            seen[DJANGO] = django(run, services)
            rounds.append(seen)
            print(f"bench: round {len(rounds)} of {run.rounds}", file=sys.stderr)
    rows = [(scenario.key, scenario.name, scenario.against) for scenario in table]
    return [
        {
            "key": key,
            "name": name,
            **medians(rounds, key),
            "to_no_op": ratios(rounds, key, NO_OP),
            "against": {other: ratios(rounds, key, other) for other in against},
        }
        for key, name, against in [*rows, (DJANGO, DJANGO_NAME, [])]
    ]


@contextmanager
def running(run: Run, services: Services, table: list[Scenario]) -> Iterator[list[Subject]]:
    """An Envoy for each of these."""
    with ExitStack() as stack:
        start = stack.enter_context(run.programs.running())
        subjects = []
        for scenario in table:
            backend = services.redis if scenario.redis else services.stub
            clusters = {"upstream": services.upstream, "rest-sessions": backend.address}
            if scenario.authz:
                clusters["authz"] = backend.authz
            envoy = Envoy(start, run.envoy, run.folder, bootstrap(scenario.filters, clusters))
            cookies = cookie_file(run, scenario.key, backend.tokens) if scenario.sessions else None
            subjects.append(Subject(scenario.key, envoy, scenario.refused, scenario.calls, cookies))
        yield subjects


def cookie_file(run: Run, key: str, tokens: list[str], ballast: str = "theme=dark; lang=en") -> Path:
    """Cookie headers, each with a token of its own beside other cookies."""
    path = run.folder / f"cookies-{key}"
    path.write_text("".join(f"{ballast}; {COOKIE}={token}\n" for token in tokens))
    return path


def django(run: Run, services: Services) -> dict:
    """The service's own CPU, of which Envoy knows nothing."""
    url = f"http://{services.stub.address}/{APP}/get/{services.stub.tokens[0]}"
    command = [sys.executable, FOLDER / "django_sessions.py", "--url", url, "--requests", DJANGO_REQUESTS]
    with run.programs.running() as start:
        program: Program = start("django-sessions", *command)
        seen = json.loads(program.output_when_done(60))
    return figures(seen, seen["cpu_us"])

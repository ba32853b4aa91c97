"""The measurements: rounds in alternation over running Envoys, and the medians of their figures."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.filters import FOLDER, bootstrap
from bench.processes import ENVOY_CORE, OTHER_CORES, cpu_seconds, interrupt_after
from bench.scenarios import NO_OP, Scenario
from bench.services import Services
from harness.envoy import Envoy
from harness.processes import Supervisor
from harness.rest_sessions import APP, COOKIE

CONNECTIONS = 32
# Of one measurement. Short ones, many of them in turn, spread what else the machine does over all subjects.
LOAD_SECONDS = 0.25
# Before the first measurement, so that the cache holds every session that it can.
WARM_UP_SECONDS = 1
LOAD_TIMEOUT_SECONDS = 30
DJANGO_REQUESTS = 200
DJANGO_TIMEOUT_SECONDS = 60
# What wrk sends and reports.
SCRIPT = FOLDER / "load.lua"
METRICS = ("cpu_us", "rps", "p50_ms", "p99_ms")

DJANGO = "django"
DJANGO_NAME = "django-rest-sessions in the service"

# The figures of one subject, by metric; a round has those of each subject.
Figures = dict[str, float]
Round = dict[str, Figures]
# A row of results.json.
Row = dict[str, Any]


class MeasurementError(Exception):
    """A subject did not behave as its scenario says, so its figures mean nothing."""


@dataclass
class Run:
    """What every measurement needs."""

    folder: Path
    envoy: Path
    wrk: Path
    rounds: int

    def supervisor(self) -> Supervisor:
        return Supervisor(self.folder, OTHER_CORES)


@dataclass
class Subject:
    """What is measured: an Envoy and the requests that it gets."""

    key: str
    envoy: Envoy
    # Whether all requests must be refused; otherwise all must pass.
    refused: bool = False
    # Lookups for each request.
    calls: int = 0
    # A file of Cookie headers, which the requests take in turn.
    cookies: Path | None = None
    path: str = "/"


def load(run: Run, subject: Subject, seconds: float = LOAD_SECONDS, connections: int = CONNECTIONS) -> Row:
    """Sends as many requests as Envoy answers in this time. Returns wrk's report."""
    # wrk takes whole seconds, but also reports when it is interrupted.
    command = [run.wrk, "-t", 1, "-c", connections, "-d", f"{math.ceil(seconds) + 1}s", "-s", SCRIPT]
    command += [f"http://{subject.envoy.address}{subject.path}", "--", *([subject.cookies] if subject.cookies else [])]
    with run.supervisor() as supervisor:
        process = supervisor.start("load", *command)
        interrupt_after(process, seconds)
        seen: Row = json.loads(process.wait_for_end(LOAD_TIMEOUT_SECONDS).splitlines()[-1])
    expected = seen["requests"] if subject.refused else 0
    if seen["broken"] or seen["refused"] != expected or not seen["requests"]:
        raise MeasurementError(f"{subject.key}: {expected} refused requests expected; wrk reports {seen}")
    return seen


def measure(run: Run, subject: Subject) -> Figures:
    """One round of one subject."""
    cpu, calls = cpu_seconds(subject.envoy.process), subject.envoy.calls()
    seen = load(run, subject)
    cpu = cpu_seconds(subject.envoy.process) - cpu
    calls = subject.envoy.calls() - calls
    # When wrk ends, it drops the requests in flight.
    if not 0 <= calls - subject.calls * seen["requests"] <= subject.calls * CONNECTIONS:
        raise MeasurementError(f"{subject.key}: {subject.calls} calls a request expected, {calls} for {seen} found")
    return figures(seen, cpu / seen["requests"] * 1e6)


def figures(seen: Row, cpu_us: float) -> Figures:
    return {
        "cpu_us": cpu_us,
        "rps": seen["requests"] / seen["seconds"],
        "p50_ms": seen["p50_us"] / 1e3,
        "p99_ms": seen["p99_us"] / 1e3,
    }


def alternate(run: Run, subjects: list[Subject], rounds: int) -> Iterator[Round]:
    """Each round measures every subject once. Every other round goes backwards, so that drift evens out."""
    for subject in subjects:
        load(run, subject, WARM_UP_SECONDS)
    for number in range(rounds):
        order = subjects if number % 2 == 0 else subjects[::-1]
        yield {subject.key: measure(run, subject) for subject in order}


def medians(rounds: list[Round], key: str) -> Figures:
    return {metric: median(seen[key][metric] for seen in rounds) for metric in METRICS}


def ratios(rounds: list[Round], key: str, base: str) -> Figures:
    """The median of the ratios of each round: both figures of a ratio were taken under the same conditions."""
    return {metric: median(seen[key][metric] / seen[base][metric] for seen in rounds) for metric in METRICS}


def compare(run: Run, services: Services, table: list[Scenario]) -> list[Row]:
    """The table of scenarios: medians, and ratios to the no-op filter."""
    with running_subjects(run, services, table) as subjects:
        rounds = []
        for seen in alternate(run, subjects, run.rounds):
            seen[DJANGO] = django(run, services)
            rounds.append(seen)
            print(f"bench: round {len(rounds)} of {run.rounds}", file=sys.stderr)
    rows: list[tuple[str, str, list[str]]] = [(scenario.key, scenario.name, scenario.against) for scenario in table]
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
def running_subjects(run: Run, services: Services, table: list[Scenario]) -> Iterator[list[Subject]]:
    """An Envoy for each scenario."""
    with run.supervisor() as supervisor:
        subjects = []
        for scenario in table:
            backend = services.redis if scenario.redis else services.stub
            clusters = {"upstream": services.upstream, "rest-sessions": backend.address}
            if scenario.authz:
                clusters["authz"] = backend.authz
            envoy = Envoy(supervisor, run.envoy, bootstrap(scenario.filters, clusters), cores=ENVOY_CORE)
            cookies = cookie_file(run, scenario.key, backend.tokens) if scenario.sessions else None
            subjects.append(Subject(scenario.key, envoy, scenario.refused, scenario.calls, cookies))
        yield subjects


def cookie_file(run: Run, key: str, tokens: list[str], ballast: str = "theme=dark; lang=en") -> Path:
    """A file of Cookie headers, each with one of the tokens after other cookies."""
    path = run.folder / f"cookies-{key}"
    path.write_text("".join(f"{ballast}; {COOKIE}={token}\n" for token in tokens))
    return path


def django(run: Run, services: Services) -> Figures:
    """The CPU of the service itself; Envoy takes no part."""
    url = f"http://{services.stub.address}/{APP}/get/{services.stub.tokens[0]}"
    command = [sys.executable, FOLDER / "django_sessions.py", "--url", url, "--requests", DJANGO_REQUESTS]
    with run.supervisor() as supervisor:
        seen = json.loads(supervisor.start("django-sessions", *command).wait_for_end(DJANGO_TIMEOUT_SECONDS))
    return figures(seen, seen["cpu_us"])

"""The measurements: rounds in alternation over running Envoys, and the medians of their figures."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import wrk
from bench.filters import FOLDER, bootstrap
from bench.processes import MEASURED_CORE, cpu_seconds
from bench.rounds import CONNECTIONS, Figures, MeasurementError, Round, Row, Run, figures, in_turn, medians, ratios
from bench.scenarios import NO_OP, Scenario
from bench.services import Services
from harness.envoy import Envoy
from harness.rest_sessions import APP, COOKIE

# Of one measurement. Short ones, many of them in turn, spread what else the machine does over all subjects.
LOAD_SECONDS = 0.25
# Before the first measurement, so that the cache holds every session that it can.
WARM_UP_SECONDS = 1
DJANGO_REQUESTS = 200
DJANGO_TIMEOUT_SECONDS = 60
# Those of a browser.
HEADERS = {
    "Host": "shop.example.com",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "en-US,en;q=0.5",
    "accept-encoding": "gzip, deflate, br",
    "sec-fetch-mode": "navigate",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}

DJANGO = "django"
DJANGO_NAME = "django-rest-sessions in the service"


@dataclass
class EnvoyRun(Run):
    """What every measurement of an Envoy needs."""

    envoy: Path


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
    headers = HEADERS | ({"cookie": wrk.PLACEHOLDER} if subject.cookies else {})
    requests = wrk.Requests(f"http://{subject.envoy.address}{subject.path}", headers, subject.cookies)
    seen = wrk.send(run, requests, seconds, connections)
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


def alternate(run: Run, subjects: list[Subject], rounds: int) -> Iterator[Round]:
    """Each round measures every subject once."""
    for subject in subjects:
        load(run, subject, WARM_UP_SECONDS)
    for number in range(rounds):
        yield {subject.key: measure(run, subject) for subject in in_turn(subjects, number)}


def compare(run: EnvoyRun, services: Services, table: list[Scenario]) -> list[Row]:
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
def running_subjects(run: EnvoyRun, services: Services, table: list[Scenario]) -> Iterator[list[Subject]]:
    """An Envoy for each scenario."""
    with run.supervisor() as supervisor:
        subjects = []
        for scenario in table:
            backend = services.redis if scenario.redis else services.stub
            clusters = {"upstream": services.upstream, "rest-sessions": backend.address}
            if scenario.authz:
                clusters["authz"] = backend.authz
            envoy = Envoy(supervisor, run.envoy, bootstrap(scenario.filters, clusters), cores=MEASURED_CORE)
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

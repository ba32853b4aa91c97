"""How the cost grows with rules, cookies, session data, workers, cached sessions, and requests that wait for one
session."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.filters import bootstrap, ours
from bench.measure import EnvoyRun, Subject, alternate, cookie_file, load
from bench.processes import ALL_CORES, MEASURED_CORE, memory_bytes
from bench.rounds import MeasurementError, Round, Row, medians, ratios
from bench.services import DATA_BYTES, SESSIONS, SLOW_MS, Services, token
from harness.envoy import Envoy, Json
from harness.processes import Supervisor
from harness.rest_sessions import COOKIE

ROUNDS = 15
RULES = (1, 10, 100, 1000)
FEW_RULES = 10
NO_FILTER = "no filter"
COOKIE_BYTES = (100, 1024, 4096, 8192)
DATA_SIZES = (100, 1024, 4096, 16384)
# Above the largest of `DATA_SIZES`.
ANNOTATION_BYTES = 32768
WORKERS = (1, 2)
CACHED = (1_000, 10_000, 100_000)
# A session with this much data has 200 bytes as JSON.
CACHED_DATA_BYTES = 115
CACHE_BYTES = 134_217_728
# The lengths, in seconds, of the loads that fill the cache. The first that fills it is the last.
FILLS = (2, 4, 8, 16, 32, 64)
WAITERS = (1, 10, 100, 1000)
# Longer than the slow lookup takes.
WAIT_SECONDS = 2


@dataclass
class Growth:
    """One dimension: the Envoy and the requests for each of its values."""

    key: str
    name: str
    values: tuple[int, ...]
    subject: Callable[["Stage", int], Subject]
    # If set, the time in the filter is reported too, relative to that for this value. It is measured by subtracting the
    # time of an Envoy without the filter. The difference is so small that it needs all rounds.
    few: int | None = None


class Stage:
    """Starts the Envoys of one dimension."""

    def __init__(self, run: EnvoyRun, services: Services, supervisor: Supervisor) -> None:
        self.run, self.services, self.supervisor = run, services, supervisor
        # Figures of a value beside its measurements.
        self.extra: dict[int, dict[str, float]] = {}

    def envoy(
        self, sessions: str | None = None, workers: int = 1, cores: set[int] = MEASURED_CORE, **keys: object
    ) -> Envoy:
        return self.envoy_with([ours(**keys)], sessions, workers, cores)

    def envoy_with(
        self, filters: list[Json], sessions: str | None = None, workers: int = 1, cores: set[int] = MEASURED_CORE
    ) -> Envoy:
        clusters = {"upstream": self.services.upstream, "rest-sessions": sessions or self.services.stub.address}
        return Envoy(self.supervisor, self.run.envoy, bootstrap(filters, clusters), workers, cores)

    def lookups(self, value: int, envoy: Envoy, *, data: int = DATA_BYTES, ballast: int = 20) -> Subject:
        """Requests that cost one call each."""
        tokens = [token(number, data) for number in range(SESSIONS)]
        cookies = cookie_file(self.run, f"{data}-{ballast}", tokens, "theme=" + "x" * ballast)
        return Subject(str(value), envoy, calls=1, cookies=cookies)

    def rules(self, count: int) -> Subject:
        """The last rule matches and needs no lookup, so only the search for it costs time."""
        rules = [{"match": {"paths": [f"/section-{number}/*"]}, "session": "required"} for number in range(count)]
        rules[-1]["session"] = "off"
        return Subject(str(count), self.envoy(rules=rules), path=f"/section-{count - 1}/page")

    def cookies(self, size: int) -> Subject:
        own = len(f"theme=; {COOKIE}=") + 64
        return self.lookups(size, self.envoy(), ballast=max(1, size - own))

    def data(self, size: int) -> Subject:
        return self.lookups(size, self.envoy(annotate={"max_bytes": ANNOTATION_BYTES}), data=size)

    def workers(self, count: int) -> Subject:
        """On a machine with two cores, the load and the services share them with Envoy here."""
        return self.lookups(count, self.envoy(workers=count, cores=ALL_CORES))

    def cached(self, count: int) -> Subject:
        """Requests for all sessions in turn that the cache answers, and the memory that the sessions take."""
        tokens = [token(number, CACHED_DATA_BYTES) for number in range(count)]
        cookies = cookie_file(self.run, f"cached-{count}", tokens)
        envoy = self.envoy(cache={"ttl": "1h", "max_bytes": CACHE_BYTES})
        subject = Subject(str(count), envoy, cookies=cookies)
        before = memory_bytes(envoy.process)
        for seconds in FILLS:
            load(self.run, subject, seconds)
            if envoy.gauge("cache_entries") == count:
                break
        else:
            raise MeasurementError(f"{count} cached sessions expected, {envoy.gauge('cache_entries')} found")
        self.extra[count] = {
            "cache_mib": envoy.gauge("cache_bytes") / 2**20,
            "envoy_grew_mib": (memory_bytes(envoy.process) - before) / 2**20,
        }
        return subject


GROWTHS = (
    Growth("rules", "rules, the last of which matches (`off`)", RULES, Stage.rules, few=FEW_RULES),
    Growth("cookie_bytes", "bytes of the Cookie header (one call)", COOKIE_BYTES, Stage.cookies),
    Growth("data_bytes", "bytes of session data (one call)", DATA_SIZES, Stage.data),
    Growth("workers", "workers (one call)", WORKERS, Stage.workers),
    Growth("cached_sessions", "sessions of 200 bytes in the cache (answered from it)", CACHED, Stage.cached),
)


def grow(run: EnvoyRun, services: Services) -> list[Row]:
    """For each dimension and value: medians, and ratios to the smallest value."""
    tables = []
    for growth in GROWTHS:
        with run.supervisor() as supervisor:
            stage = Stage(run, services, supervisor)
            subjects = [growth.subject(stage, value) for value in growth.values]
            if growth.few is None:
                rounds = list(alternate(run, subjects, min(ROUNDS, run.rounds)))
            else:
                subjects.append(Subject(NO_FILTER, stage.envoy_with([]), path=subjects[-1].path))
                rounds = list(alternate(run, subjects, run.rounds))
                stage.extra = {value: in_filter(rounds, value, growth.few) for value in growth.values}
        first = str(growth.values[0])
        rows = [
            {
                "value": value,
                **medians(rounds, str(value)),
                "to_first": ratios(rounds, str(value), first),
                **stage.extra.get(value, {}),
            }
            for value in growth.values
        ]
        print(f"bench: {growth.name}", file=sys.stderr)
        tables.append({"key": growth.key, "name": growth.name, "rows": rows})
    return tables


def in_filter(rounds: list[Round], value: int, few: int) -> dict[str, float]:
    """The growth of the time in the filter: the median of the ratios of each round."""

    def spent(seen: Round, value: int) -> float:
        return seen[str(value)]["cpu_us"] - seen[NO_FILTER]["cpu_us"]

    return {"in_filter_to_few": median(spent(seen, value) / spent(seen, few) for seen in rounds)}


def wait_together(run: EnvoyRun, services: Services) -> list[Row]:
    """Requests that all arrive while the lookup of their session is in flight, and the calls made for them. The cache
    keeps the session, so that later requests need no further call."""
    rows = []
    with run.supervisor() as supervisor:
        stage = Stage(run, services, supervisor)
        service = {"cluster": "rest-sessions", "timeout": "10s"}
        envoy = stage.envoy(services.slow, rest_sessions=service, cache={"ttl": "1h"})
        for count in WAITERS:
            cookies = cookie_file(run, f"waiters-{count}", [token(count)])
            calls = envoy.calls()
            seen = load(run, Subject(f"{count} waiters", envoy, cookies=cookies), WAIT_SECONDS, connections=count)
            # How much longer than the lookup the last request took.
            beyond = seen["max_us"] / 1000 - SLOW_MS
            rows.append({"waiters": count, "calls": envoy.calls() - calls, "last_after_ms": beyond})
    return rows

"""The measurements: gets and sets of rest-sessions at two revisions, in alternation, and gets beside many sets of one
session."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import services, wrk
from bench.processes import MEASURED_CORE, cpu_seconds
from bench.rounds import Figures, MeasurementError, Round, Row, Run, figures, in_turn, medians, ratios_of, spread
from harness.processes import ManagedProcess, pause
from harness.rest_sessions import APP

BASE, PRESENT = "base", "present"
MEMORY, REDIS = "memory", "redis"
GET, SET = "get", "set"
# Far more than connections, so that hardly ever two requests in flight have the same session.
SESSIONS = 2048
# Of each revision and store, which the rounds take in turn: where the system places the memory of a process changes its
# figures by some percent.
PROCESSES = 4
HEADERS = {"accept": "application/json", "content-type": "application/json"}
CHANGE = json.dumps({"theme": "dark"})
WARM_UP_SECONDS = 0.25

# The gets beside the sets of one session: few enough that the server, without the sets, is idle most of the time.
WRITERS = 512
READERS = 16
READER_PAUSE_MS = 5
# Fewer than the others, and longer by this factor: a p99 needs many requests.
BESIDE_WRITERS_ROUNDS = 8
BESIDE_WRITERS_LONGER = 4
# How long they write before the gets start.
WRITERS_START_SECONDS = 0.2


@dataclass
class ServerRun(Run):
    """What every measurement of rest-sessions needs."""

    seconds: float
    redis_server: Path
    # The program of each revision.
    programs: dict[str, Path]


@dataclass
class Server:
    """A running rest-sessions, and a file with the tokens of its sessions."""

    address: str
    process: ManagedProcess
    tokens: Path

    def requests(self, call: str, token: str = wrk.PLACEHOLDER, pause: int | None = None) -> wrk.Requests:
        """Calls for all sessions in turn, or for one."""
        lines = self.tokens if token == wrk.PLACEHOLDER else None
        body = CHANGE if call == SET else None
        return wrk.Requests(f"http://{self.address}/{APP}/{call}/{token}", HEADERS, lines, body, pause)

    def one_token(self) -> str:
        return self.tokens.read_text().splitlines()[0]


@dataclass
class Subject:
    """The processes of a revision with a store, and what is measured of them."""

    revision: str
    store: str
    servers: list[Server]

    def server(self, number: int) -> Server:
        """That of a round. A server has two rounds, one of which goes backwards, before the next has its own."""
        return self.servers[number // 2 % len(self.servers)]


def key(revision: str, *parts: str) -> str:
    return " ".join((revision, *parts))


@contextmanager
def running_servers(run: ServerRun) -> Iterator[list[Subject]]:
    """The revisions with a store side by side, then those with the other."""
    with run.supervisor() as supervisor:
        redis = services.start_redis(supervisor, run.redis_server)

        def start(program: Path, store: str) -> tuple[str, ManagedProcess]:
            return services.start_rest_sessions(supervisor, program, store, MEASURED_CORE)

        def with_sessions(name: str, address: str) -> Path:
            path = run.folder / f"tokens-{name}"
            path.write_text("".join(f"{token}\n" for token in services.create_sessions(address, SESSIONS)))
            return path

        in_memory, on_redis = [], []
        for database, (revision, program) in enumerate(run.programs.items()):
            started = [start(program, MEMORY) for _ in range(PROCESSES)]
            servers = [
                Server(address, process, with_sessions(f"{revision}-{number}", address))
                for number, (address, process) in enumerate(started)
            ]
            in_memory.append(Subject(revision, MEMORY, servers))
            # The processes of a revision share its sessions.
            started = [start(program, f"{redis}/{database}") for _ in range(PROCESSES)]
            tokens = with_sessions(f"{revision}-redis", started[0][0])
            on_redis.append(Subject(revision, REDIS, [Server(*server, tokens) for server in started]))
        yield [*in_memory, *on_redis]


def checked(what: str, seen: Row) -> Row:
    """A report of wrk in which every request succeeded."""
    if seen["broken"] or seen["refused"] or not seen["requests"]:
        raise MeasurementError(f"{what}: 0 refused requests expected; wrk reports {seen}")
    return seen


def send(run: ServerRun, server: Server, call: str, seconds: float) -> Figures:
    cpu = cpu_seconds(server.process)
    seen = checked(f"{call} at {server.process.name}", wrk.send(run, server.requests(call), seconds))
    return figures(seen, (cpu_seconds(server.process) - cpu) / seen["requests"] * 1e6)


def measure(run: ServerRun, subjects: list[Subject]) -> list[Round]:
    """Each round has gets and sets of every subject."""
    pairs = [(call, subject) for call in (GET, SET) for subject in subjects]
    for call, subject in pairs:
        for server in subject.servers:
            send(run, server, call, WARM_UP_SECONDS)

    def one_round(number: int) -> Round:
        return {
            key(subject.revision, subject.store, call): send(run, subject.server(number), call, run.seconds)
            for call, subject in in_turn(pairs, number)
        }

    return repeat(one_round, "gets and sets", run.rounds)


def measure_beside_writers(run: ServerRun, subjects: list[Subject]) -> list[Round]:
    """Each round has gets of other sessions while many change one session, and without."""

    def one_round(number: int) -> Round:
        return {
            key(subject.revision, subject.store): beside_writers(run, subject.server(number))
            for subject in in_turn(subjects, number)
        }

    return repeat(one_round, f"gets beside {WRITERS} writers", min(run.rounds, BESIDE_WRITERS_ROUNDS))


def beside_writers(run: ServerRun, server: Server) -> Figures:
    seconds = BESIDE_WRITERS_LONGER * run.seconds
    reads = server.requests(GET, pause=READER_PAUSE_MS)
    alone = checked("gets alone", wrk.send(run, reads, seconds, READERS))
    with run.supervisor() as supervisor:
        sets = server.requests(SET, server.one_token())
        writers = wrk.Load(run, supervisor, sets, seconds + wrk.END_SECONDS, WRITERS)
        pause(WRITERS_START_SECONDS)
        beside = checked("gets beside writers", wrk.send(run, reads, seconds, READERS))
        written = writers.end_after(0)
    if written["broken"] or not written["requests"]:
        raise MeasurementError(f"sets of one session: wrk reports {written}")
    return {
        "alone_p99_ms": alone["p99_us"] / 1e3,
        "p99_ms": beside["p99_us"] / 1e3,
        "to_alone": beside["p99_us"] / alone["p99_us"],
        "sets_per_s": (written["requests"] - written["refused"]) / written["seconds"],
        "refused_sets": written["refused"] / written["requests"],
    }


def repeat(one_round: Callable[[int], Round], what: str, count: int) -> list[Round]:
    rounds = []
    for number in range(count):
        rounds.append(one_round(number))
        print(f"bench: {what}, round {number + 1} of {count}", file=sys.stderr)
    return rounds


def compare(run: ServerRun) -> tuple[list[Row], list[Row]]:
    """For each store and call: medians, and ratios to the base with their spread. For each store: the same of the gets
    beside writers."""
    with running_servers(run) as subjects:
        rounds = measure(run, subjects)
        beside = measure_beside_writers(run, subjects)
    return (
        [
            {
                "store": store,
                "call": call,
                **{revision: medians(rounds, key(revision, store, call)) for revision in (BASE, PRESENT)},
                "to_base": {
                    metric: spread(ratios_of(rounds, key(PRESENT, store, call), key(BASE, store, call), metric))
                    for metric in rounds[0][key(BASE, store, call)]
                },
            }
            for store in (MEMORY, REDIS)
            for call in (GET, SET)
        ],
        [
            {
                "store": store,
                "revision": revision,
                **medians(beside, key(revision, store)),
                "to_alone": spread(seen[key(revision, store)]["to_alone"] for seen in beside),
            }
            for store in (MEMORY, REDIS)
            for revision in (BASE, PRESENT)
        ],
    )

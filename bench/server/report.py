"""The report: printed, kept in server.json, and written into docs/performance.md."""

from pathlib import Path

from bench import files
from bench.files import METRICS, PERFORMANCE, metrics, rounded, table, tool_version
from bench.filters import FOLDER
from bench.rounds import CONNECTIONS, Figures, Row
from bench.server.measure import (
    BASE,
    BESIDE_WRITERS_LONGER,
    BESIDE_WRITERS_ROUNDS,
    MEMORY,
    PRESENT,
    PROCESSES,
    READER_PAUSE_MS,
    READERS,
    REDIS,
    SESSIONS,
    WRITERS,
    ServerRun,
)

RESULTS = FOLDER / "server.json"
NOTE = (
    "rest-sessions has one core, wrk and Redis have the others; the machine may be shared: compare ratios, not times. "
    "A ratio is the median of the ratios of each round, with its confidence interval of 95 %. CPU is user and "
    "system time of the rest-sessions process for each request."
)
STORES = {MEMORY: "memory", REDIS: "Redis"}
RATIOS = ["CPU", "requests/s", "p50", "p99"]


def gather(run: ServerRun, base: str, rows: list[Row], beside: list[Row]) -> Row:
    results = {
        **files.when_and_where(NOTE),
        "base": base[:7],
        "versions": {"redis": tool_version(run.redis_server), "rustc": tool_version("rustc")},
        "settings": {
            "rounds": run.rounds,
            "seconds_each": run.seconds,
            "connections": CONNECTIONS,
            "sessions": SESSIONS,
            "processes": PROCESSES,
            "beside_writers": {
                "rounds": min(run.rounds, BESIDE_WRITERS_ROUNDS),
                "seconds_each": BESIDE_WRITERS_LONGER * run.seconds,
                "writers": WRITERS,
                "readers": READERS,
                "reader_pause_ms": READER_PAUSE_MS,
            },
        },
        "calls": rows,
        "beside_writers": beside,
    }
    return {key: rounded(value) for key, value in results.items()}


def with_spread(ratio: Figures) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def ratio_rows(results: Row) -> list[list[str]]:
    """For each store and call: the ratios of all metrics."""
    return [
        [f"{STORES[row['store']]}, {row['call']}", *(with_spread(ratio) for ratio in row["to_base"].values())]
        for row in results["calls"]
    ]


def as_text(results: Row) -> str:
    figures = [
        [f"{STORES[row['store']]}, {row['call']}, {revision}", *metrics(row[revision])]
        for row in results["calls"]
        for revision in (BASE, PRESENT)
    ]
    beside = [
        [
            f"{STORES[row['store']]}, {row['revision']}",
            *(f"{row[metric]:.2f}" for metric in ("alone_p99_ms", "p99_ms")),
            with_spread(row["to_alone"]),
            f"{row['sets_per_s']:.0f}",
            f"{row['refused_sets']:.1%}",
        ]
        for row in results["beside_writers"]
    ]
    writers = results["settings"]["beside_writers"]["writers"]
    head = ["p99 ms without writers", "p99 ms", "ratio", "sets/s", "of them refused"]
    return "\n\n".join(
        [
            table(["", *METRICS], figures),
            table([f"present, base {results['base']} = 1", *RATIOS], ratio_rows(results)),
            table([f"gets of other sessions beside {writers} writers of one", *head], beside),
            results["note"],
        ]
    )


def performance_figures(results: Row) -> str:
    """The figures in docs/performance.md."""
    machine, settings, base = results["machine"], results["settings"], results["base"]
    beside = {(row["store"], row["revision"]): with_spread(row["to_alone"]) for row in results["beside_writers"]}
    lines = [
        f"Medians of {settings['rounds']} rounds of {settings['seconds_each']} s in alternation on {results['date']}, "
        f"{machine['cpu']} with {machine['cores']} cores,",
        f"one for rest-sessions, the others for wrk and Redis {results['versions']['redis']}. Revision {base} = 1;",
        "in parentheses the confidence interval (95 %) of the median:",
        "",
        f"| | {' | '.join(RATIOS)} |",
        f"| ---{' | ---' * len(RATIOS)} |",
        *(f"| {' | '.join(row)} |" for row in ratio_rows(results)),
        "",
        f"The p99 of gets of other sessions while {settings['beside_writers']['writers']} writers change one session; "
        "the p99 without writers = 1:",
        "",
        f"| | {base} | this revision |",
        "| --- | --- | --- |",
        *(f"| {name} | {beside[store, BASE]} | {beside[store, PRESENT]} |" for store, name in STORES.items()),
    ]
    return "\n".join(lines) + "\n"


def pages(results: Row) -> dict[Path, str]:
    """The figures of each page that shows some."""
    return {PERFORMANCE: performance_figures(results)}


def write(results: Row) -> None:
    files.write(RESULTS, results, pages(results))

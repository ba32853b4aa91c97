"""The report: printed, kept in results.json, and written into README, docs/performance.md and the migration guide."""

import platform
from importlib.metadata import version
from pathlib import Path

from bench import files
from bench.files import GUIDE, METRICS, PERFORMANCE, README, metrics, rounded, table, tool_version
from bench.filters import FOLDER
from bench.measure import DJANGO, LOAD_SECONDS, EnvoyRun
from bench.rounds import CONNECTIONS, Row
from bench.scenarios import NO_OP
from harness.paths import MODULE

RESULTS = FOLDER / "results.json"
# The scenarios that README shows.
IN_README = ("none", "cached", "call", "lua", "ext_authz")
NOTE = (
    "Envoy has one core, wrk and the services have the others; the machine may be shared: compare ratios, not times. A "
    "ratio is the median of the ratios of each round. CPU is user and system time of the Envoy process for each "
    "request, that of django-rest-sessions the service's own."
)


def gather(run: EnvoyRun, rows: list[Row], growth: list[Row], waiters: list[Row]) -> Row:
    results = {
        **files.when_and_where(NOTE),
        "versions": {
            "envoy": tool_version(run.envoy),
            "rustc": tool_version("rustc"),
            "python": platform.python_version(),
            "requests": version("requests"),
            "module_bytes": MODULE.stat().st_size,
        },
        "settings": {
            "rounds": run.rounds,
            "seconds_each": LOAD_SECONDS,
            "connections": CONNECTIONS,
            "workers": 1,
        },
        "scenarios": rows,
        "growth": growth,
        "waiters": waiters,
    }
    return {key: rounded(value) for key, value in results.items()}


def as_text(results: Row) -> str:
    parts = [
        table(
            ["", *METRICS, "CPU", "requests/s", "p50", "p99"],
            [
                [row["name"], *metrics(row), *(f"{value:.2f}×" for value in row["to_no_op"].values())]
                for row in results["scenarios"]
            ],
        )
        + "\n(× is against the SDK's no-op filter)"
    ]
    names = {row["key"]: row["name"] for row in results["scenarios"]}
    pairs = [
        [f"{row['name']}, against: {names[other]}", *(f"{value:.2f}×" for value in to_other.values())]
        for row in results["scenarios"]
        for other, to_other in row["against"].items()
    ]
    parts.append(table(["", "CPU", "requests/s", "p50", "p99"], pairs))
    for growth in results["growth"]:
        rows = [[str(row["value"]), *metrics(row), f"{row['to_first']['cpu_us']:.2f}×"] for row in growth["rows"]]
        parts.append(table([growth["name"], *METRICS, "CPU"], rows))
    rules = [[str(row["value"]), f"{row['in_filter_to_few']:.2f}×"] for row in grown(results, "rules")]
    parts.append(table(["rules", "time in the filter, against 10 rules"], rules))
    cached = grown(results, "cached_sessions")
    memory = [[str(row["value"]), f"{row['cache_mib']:.1f}", f"{row['envoy_grew_mib']:.1f}"] for row in cached]
    parts.append(table(["sessions of 200 bytes in the cache", "cache_bytes MiB", "Envoy grew by MiB"], memory))
    waiters = [[str(row["waiters"]), str(row["calls"]), f"{row['last_after_ms']:.0f}"] for row in results["waiters"]]
    parts.append(table(["requests that wait for one session", "calls", "last answered after ms"], waiters))
    parts.append(results["note"])
    return "\n\n".join(parts)


def grown(results: Row, key: str) -> list[Row]:
    """The rows of one dimension, one for each of its values."""
    rows: list[Row]
    rows = next(growth["rows"] for growth in results["growth"] if growth["key"] == key)
    return rows


def readme_figures(results: Row) -> str:
    """The figures in README: a few scenarios, as one row."""
    shown = [row for row in results["scenarios"] if row["key"] in IN_README]
    head = " | ".join(row["name"] for row in shown)
    figures = " | ".join(f"{row['to_no_op']['cpu_us']:.2f}" for row in shown)
    return (
        f"CPU per request of an Envoy {results['versions']['envoy']} with one worker, "
        f"where the SDK's no-op filter is 1 ({results['date']}):\n\n"
        f"| {head} |\n|{' ---: |' * len(shown)}\n| {figures} |\n"
    )


def performance_figures(results: Row) -> str:
    """The figures in docs/performance.md: every scenario and comparison."""
    machine, settings = results["machine"], results["settings"]
    names = {row["key"]: row["name"] for row in results["scenarios"]}
    lines = [
        f"Medians of {settings['rounds']} rounds of {settings['seconds_each']} s in alternation on {results['date']}, "
        f"{machine['cpu']} with {machine['cores']} cores,",
        f"one for Envoy {results['versions']['envoy']} (one worker), the others for wrk and the services:",
        "",
        "| | CPU per request, no-op filter = 1 |",
        "| --- | --- |",
    ]
    for row in results["scenarios"]:
        if row["key"] in (NO_OP, DJANGO):
            continue
        lines.append(f"| {row['name']} | {row['to_no_op']['cpu_us']:.2f} |")
    for row in results["scenarios"]:
        for other, to_other in row["against"].items():
            lines.append(f"| {row['name']}, against: {names[other]} | {to_other['cpu_us']:.2f} |")
    django = next(row for row in results["scenarios"] if row["key"] == DJANGO)
    lines.append(f"| {django['name']}, its own CPU | {django['to_no_op']['cpu_us']:.0f} |")
    many = grown(results, "rules")[-1]
    lines.append(f"| {many['value']:,} rules, against: 10 rules, time in the filter | {many['in_filter_to_few']:.2f} |")
    most = results["waiters"][-1]
    calls = "1 call" if most["calls"] == 1 else f"{most['calls']} calls"
    kept = grown(results, "cached_sessions")[-1]
    lines += [
        "",
        f"{most['waiters']:,} requests that waited for one session cost {calls}. "
        f"{kept['value']:,} sessions of 200 bytes",
        f"in a worker's cache took {kept['cache_mib']:.0f} MiB as it counts them; Envoy grew by "
        f"{kept['envoy_grew_mib']:.0f} MiB.",
    ]
    return "\n".join(lines) + "\n"


def guide_figures(results: Row) -> str:
    """The figures in the migration guide: the filter beside django-rest-sessions."""
    to_no_op = {row["key"]: row["to_no_op"]["cpu_us"] for row in results["scenarios"]}
    return (
        "| | |\n| --- | ---: |\n"
        f"| the lookup of django-rest-sessions, in the service | {to_no_op[DJANGO]:.1f} |\n"
        f"| the whole Envoy with this filter, which answers from its cache | {to_no_op['cached']:.2f} |\n"
        f"| the same without a cache, one call for each request | {to_no_op['call']:.2f} |\n"
    )


def pages(results: Row) -> dict[Path, str]:
    """The figures of each page that shows some."""
    return {
        README: readme_figures(results),
        PERFORMANCE: performance_figures(results),
        GUIDE: guide_figures(results),
    }


def write(results: Row) -> None:
    files.write(RESULTS, results, pages(results))

"""What the measurements share: their settings, their figures, and the medians over rounds."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from bench.processes import OTHER_CORES
from harness.processes import Supervisor

CONNECTIONS = 32

# The figures of one subject, by metric; a round has those of each subject.
Figures = dict[str, float]
Round = dict[str, Figures]
# A row of a file of results.
Row = dict[str, Any]

Subject = TypeVar("Subject")


class MeasurementError(Exception):
    """What was measured did not behave as expected, so its figures mean nothing."""


@dataclass
class Run:
    """What every measurement needs."""

    folder: Path
    wrk: Path
    rounds: int

    def supervisor(self) -> Supervisor:
        return Supervisor(self.folder, OTHER_CORES)


def figures(seen: Row, cpu_us: float) -> Figures:
    return {
        "cpu_us": cpu_us,
        "rps": seen["requests"] / seen["seconds"],
        "p50_ms": seen["p50_us"] / 1e3,
        "p99_ms": seen["p99_us"] / 1e3,
    }


def in_turn(subjects: list[Subject], number: int) -> list[Subject]:
    """The subjects in the order of a round. Every other round goes backwards, so that drift evens out."""
    return subjects if number % 2 == 0 else subjects[::-1]


def medians(rounds: list[Round], key: str) -> Figures:
    return {metric: median(seen[key][metric] for seen in rounds) for metric in rounds[0][key]}


def ratios(rounds: list[Round], key: str, base: str) -> Figures:
    """The median of the ratios of each round: both figures of a ratio were taken under the same conditions."""
    return {metric: median(ratios_of(rounds, key, base, metric)) for metric in rounds[0][key]}


def ratios_of(rounds: list[Round], key: str, base: str, metric: str) -> list[float]:
    return [seen[key][metric] / seen[base][metric] for seen in rounds]


def spread(values: Iterable[float]) -> Figures:
    """The median, and its confidence interval of 95 %: the ranks that the binomial distribution gives, whatever the
    distribution of the values. Of a few values these are the least and the most."""
    ordered = sorted(values)
    rank = max(0, int(len(ordered) / 2 - 0.98 * math.sqrt(len(ordered))))
    return {"low": ordered[rank], "median": median(ordered), "high": ordered[-1 - rank]}

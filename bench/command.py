"""What the commands of the benchmarks share."""

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.rounds import MeasurementError
from harness.processes import Interrupted, ProcessError, stop_on_signals

Number = TypeVar("Number", int, float)


def between(kind: type[Number], least: Number, most: Number) -> Callable[[str], Number]:
    """Reads a number from a command line."""

    def read(text: str) -> Number:
        number = kind(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not from {least} to {most}")
        return number

    return read


def add_programs(parser: argparse.ArgumentParser, *names: str) -> None:
    programs = parser.add_argument_group("programs, which make names")
    for name in names:
        programs.add_argument(f"--{name}", type=Path, required=True)


def run(command: str, measure: Callable[[Path], None]) -> int:
    """Calls `measure` with a temporary folder. Returns the status to exit with."""
    stop_on_signals()
    # A thousand concurrent clients need as many files here, and twice as many in Envoy.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            measure(Path(folder))
    except Interrupted:
        return 130
    except (ProcessError, MeasurementError, OSError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    return 0

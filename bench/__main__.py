"""Runs the benchmark: `make bench`."""

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import growth, measure, plot, report
from bench.scenarios import scenarios
from bench.services import running_services
from harness.processes import Interrupted, ProcessError, stop_on_signals


def between(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not from {least} to {most}")
        return number

    return read


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measures the filter beside its peers.")
    parser.add_argument("--rounds", type=between(1, 1000), default=61, help="how often everything is measured (61)")
    programs = parser.add_argument_group("programs, which make names")
    for name in ("envoy", "redis-server", "peers", "rest-sessions", "noop", "wrk"):
        programs.add_argument(f"--{name}", type=Path, required=True)
    return parser.parse_args()


def main() -> int:
    chosen = options()
    stop_on_signals()
    # A thousand concurrent clients need as many files here, and twice as many in Envoy.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            run = measure.Run(folder, chosen.envoy, chosen.wrk, chosen.rounds)
            behind = running_services(folder, chosen.peers, chosen.rest_sessions, chosen.redis_server)
            with behind as services:
                rows = measure.compare(run, services, scenarios(chosen.noop))
                grown = growth.grow(run, services)
                waiters = growth.wait_together(run, services)
    except Interrupted:
        return 130
    except (ProcessError, measure.MeasurementError, OSError) as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 1
    results = report.gather(run, rows, grown, waiters)
    report.write(results)
    plot.draw(results)
    print(report.as_text(results))
    written = (report.RESULTS, plot.PLOT, *report.pages(results))
    print(f"\nWritten: {', '.join(os.path.relpath(path) for path in written)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

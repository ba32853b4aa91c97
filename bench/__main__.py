"""Runs the benchmark of the filter: `make bench`."""

import argparse
import os
import sys
from pathlib import Path

from bench import command, growth, measure, plot, report
from bench.scenarios import scenarios
from bench.services import running_services

COMMAND = "make bench"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Measures the filter beside its peers.")
    rounds = command.between(int, 1, 1000)
    parser.add_argument("--rounds", type=rounds, default=61, help="how often everything is measured (61)")
    command.add_programs(parser, "envoy", "redis-server", "peers", "rest-sessions", "noop", "wrk")
    return parser.parse_args()


def main() -> int:
    chosen = options()

    def run(folder: Path) -> None:
        run = measure.EnvoyRun(folder, chosen.wrk, chosen.rounds, chosen.envoy)
        with running_services(folder, chosen.peers, chosen.rest_sessions, chosen.redis_server) as services:
            rows = measure.compare(run, services, scenarios(chosen.noop))
            grown = growth.grow(run, services)
            waiters = growth.wait_together(run, services)
        results = report.gather(run, rows, grown, waiters)
        report.write(results)
        plot.draw(results)
        print(report.as_text(results))
        written = (report.RESULTS, plot.PLOT, *report.pages(results))
        print(f"\nWritten: {', '.join(os.path.relpath(path) for path in written)}")

    return command.run(COMMAND, run)


if __name__ == "__main__":
    sys.exit(main())

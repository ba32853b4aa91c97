"""Runs the benchmark of rest-sessions: `make bench-server`."""

import argparse
import os
import sys
from pathlib import Path

from bench import command
from bench.server import measure, report, revision

COMMAND = "make bench-server"
# Before rest-sessions was made ready for production.
BASE = "2568d7e"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Measures rest-sessions beside an earlier revision of this repository."
    )
    rounds, seconds = command.between(int, 2, 1000), command.between(float, 0.05, 60)
    parser.add_argument("--rounds", type=rounds, default=48, help="how often everything is measured (48)")
    parser.add_argument("--seconds", type=seconds, default=0.25, help="of each measurement (0.25)")
    parser.add_argument("--base", metavar="REVISION", default=BASE, help=f"what to compare with ({BASE})")
    command.add_programs(parser, "redis-server", "rest-sessions", "wrk")
    return parser.parse_args()


def main() -> int:
    chosen = options()

    def run(folder: Path) -> None:
        base = revision.commit_of(chosen.base)
        programs = {measure.BASE: revision.build(base, folder), measure.PRESENT: chosen.rest_sessions}
        run = measure.ServerRun(folder, chosen.wrk, chosen.rounds, chosen.seconds, chosen.redis_server, programs)
        results = report.gather(run, base, *measure.compare(run))
        report.write(results)
        print(report.as_text(results))
        written = (report.RESULTS, *report.pages(results))
        print(f"\nWritten: {', '.join(os.path.relpath(path) for path in written)}")

    return command.run(COMMAND, run)


if __name__ == "__main__":
    sys.exit(main())

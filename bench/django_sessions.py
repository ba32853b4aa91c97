"""Measures what a service with django-rest-sessions does for each request.

Its session engine calls rest-sessions once a request with `requests.get`: each call opens a connection, and any status
but 200 counts as an empty session. Prints one line of JSON with the keys of load.lua.
"""

import argparse
import json
import time
from typing import Any

import requests


def load_session(url: str) -> dict[str, Any]:
    response = requests.get(url)
    session: dict[str, Any] = response.json() if response.status_code == 200 else {}
    return session


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the lookups of django-rest-sessions.")
    parser.add_argument("--url", required=True, help="the lookup of one session")
    parser.add_argument("--requests", required=True, type=int)
    options = parser.parse_args()

    # The first call loads modules, which the others do not pay for.
    assert load_session(options.url)["id"]
    latencies = []
    start, start_cpu = time.perf_counter(), time.process_time()
    for _ in range(options.requests):
        before = time.perf_counter()
        load_session(options.url)
        latencies.append(time.perf_counter() - before)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    latencies.sort()
    print(
        json.dumps(
            {
                "requests": options.requests,
                "seconds": seconds,
                "p50_us": latencies[(len(latencies) - 1) * 50 // 100] * 1e6,
                "p99_us": latencies[(len(latencies) - 1) * 99 // 100] * 1e6,
                "cpu_us": cpu / options.requests * 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()

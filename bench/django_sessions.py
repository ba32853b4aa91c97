"""What a service with django-rest-sessions does by itself for each request, and what that costs the service.

Its session engine asks rest-sessions once a request, by `requests.get`: a new connection each time, and any status
but 200 reads as an empty session. Prints one line of JSON, in the form of the load's.
"""

import argparse
import json
import time

import requests


def load_session(url: str) -> dict:
    response = requests.get(url)
    return response.json() if response.status_code == 200 else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="the lookup of one session")
    parser.add_argument("--requests", required=True, type=int)
    options = parser.parse_args()

    # What is loaded at the first request alone is no cost of the others.
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

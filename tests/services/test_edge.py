"""What the tests of services start is gone when they are over."""

import os
import time

import pytest

import edge


def test_what_a_program_has_started_ends_with_it(tmp_path):
    log = tmp_path / "log"
    program = edge.start(["sh", "-c", "sleep 60 & echo $!; wait"], log, {})
    ends = time.monotonic() + edge.SECONDS
    while not log.read_text().endswith("\n") and time.monotonic() < ends:
        time.sleep(0.02)
    started = int(log.read_text())
    os.kill(started, 0)
    edge.stop(program)
    # Whoever takes orphans over may still have to notice.
    while time.monotonic() < ends:
        try:
            os.kill(started, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {started} is still there")

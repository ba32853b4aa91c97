"""The CPU cores that the benchmark's processes run on, and what is measured of a process."""

import os
import signal
import time
from pathlib import Path

from harness.processes import ManagedProcess, pause

# What is measured, Envoy or rest-sessions, has a core of its own and all others share the rest: what shares its core
# would disturb the measurement.
ALL_CORES = os.sched_getaffinity(0)
MEASURED_CORE = {min(ALL_CORES)}
OTHER_CORES = (ALL_CORES - MEASURED_CORE) or ALL_CORES


def cpu_seconds(process: ManagedProcess) -> float:
    """User and system time of all threads so far, from the clock of clock_getcpuclockid(3): in nanoseconds, where
    /proc counts ticks of ten milliseconds."""
    return time.clock_gettime(~process.pid << 3 | 2)


def memory_bytes(process: ManagedProcess) -> int:
    """The resident memory."""
    return int(status(process, "VmRSS")) * 1024


def interrupt_after(process: ManagedProcess, seconds: float) -> None:
    """Sends SIGINT, this long after the process has set its handler."""
    process.wait_until(lambda: catches_interrupts(process))
    pause(seconds)
    process.process.send_signal(signal.SIGINT)


def catches_interrupts(process: ManagedProcess) -> bool:
    caught = int(status(process, "SigCgt"), 16)
    return caught & 1 << signal.SIGINT - 1 != 0


def status(process: ManagedProcess, key: str) -> str:
    """A value of /proc/PID/status, see proc_pid_status(5)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))

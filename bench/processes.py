"""Processes of the benchmark: started, waited for, measured, and ended by their ids however the benchmark ends."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 10

# Cores: one for Envoy alone and the others for all else, since what shares a core disturbs what is measured there.
ALL_CORES = os.sched_getaffinity(0)
ENVOYS_CORE = {min(ALL_CORES)}
OTHER_CORES = (ALL_CORES - ENVOYS_CORE) or ALL_CORES


class Problem(Exception):
    """Something that the user has to know, in one line or with the end of a log."""


class AskedToEnd(Exception):
    """Ctrl-C or SIGTERM, noticed between two steps, so that no process is ever started and then forgotten."""


asked_to_end = threading.Event()


def end_on_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: asked_to_end.set())


def pause(seconds: float) -> None:
    if asked_to_end.wait(seconds):
        raise AskedToEnd


class Program:
    """A process, its output in a file."""

    def __init__(self, name: str, folder: Path, *command: object, cores: set[int] = OTHER_CORES):
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as output:
            # A session of its own, so that Ctrl-C reaches the benchmark alone, which then ends the others.
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )

    def failed(self, what: str) -> Problem:
        tail = self.log.read_text(errors="replace").splitlines()[-20:]
        return Problem("\n".join([f"{self.name} {what}; the end of its log:", *tail]))

    def wait_until(self, ready: Callable) -> object:
        """Polls until this returns something, and returns that."""
        end = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise self.failed(f"ended with status {self.process.returncode}")
            try:
                if found := ready():
                    return found
            except OSError:
                pass
            if time.monotonic() > end:
                raise self.failed(f"was not ready in {START_SECONDS} s")
            pause(0.02)

    def output_when_done(self, seconds: float) -> str:
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise self.failed(f"was not done in {seconds} s")
            pause(0.01)
        if self.process.returncode != 0:
            raise self.failed(f"ended with status {self.process.returncode}")
        return self.log.read_text()

    def interrupt_after(self, seconds: float) -> None:
        """Counted from when it is ready to be interrupted."""
        self.wait_until(self.catches_interrupts)
        pause(seconds)
        self.process.send_signal(signal.SIGINT)

    def catches_interrupts(self) -> bool:
        caught = int(self.status("SigCgt"), 16)
        return caught & 1 << signal.SIGINT - 1 != 0

    def status(self, key: str) -> str:
        """From proc_pid_status(5)."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))

    def address(self) -> str:
        """Where it listens, as it says itself."""
        return self.wait_until(lambda: self.log.read_text().partition("listens on ")[2].partition("\n")[0])

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far, by the clock that clock_getcpuclockid(3) gives: to the
        nanosecond, where /proc counts ticks of ten milliseconds."""
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def memory_bytes(self) -> int:
        """What of its memory is resident."""
        return int(self.status("VmRSS")) * 1024


class Programs:
    """All that runs; whatever is started in a block of `running` ends with it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.count = 0

    @contextmanager
    def running(self):
        started = []

        def start(name: str, *command: object, **options: object) -> Program:
            self.count += 1
            started.append(Program(f"{name}-{self.count}", self.folder, *command, **options))
            return started[-1]

        try:
            yield start
        finally:
            stop(started)


def stop(programs: list[Program]) -> None:
    for program in reversed(programs):
        program.process.terminate()
    end = time.monotonic() + STOP_SECONDS
    for program in programs:
        try:
            program.process.wait(timeout=max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            program.process.kill()
            program.process.wait()


class Envoy:
    """A running Envoy, its listener and its admin endpoint on ports that the system chose."""

    def __init__(
        self,
        start: Callable,
        binary: Path,
        folder: Path,
        bootstrap: dict,
        workers: int = 1,
        cores: set[int] = ENVOYS_CORE,
    ):
        own = Path(tempfile.mkdtemp(dir=folder))
        config, admin_file = own / "envoy.json", own / "admin-address"
        config.write_text(json.dumps(bootstrap))
        flags = ["--disable-hot-restart", "--log-level", "error", "--concurrency", workers]
        self.program = start(
            "envoy", binary, "-c", config, *flags, "--admin-address-path", admin_file, cores=cores
        )
        self.admin = self.program.wait_until(lambda: admin_file.exists() and admin_file.read_text())
        self.program.wait_until(lambda: self.get("/ready"))
        (listener,) = json.loads(self.get("/listeners?format=json"))["listener_statuses"]
        socket_address = listener["local_address"]["socket_address"]
        self.address = f"{socket_address['address']}:{socket_address['port_value']}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=5) as response:
            return response.read().decode()

    def calls(self) -> int:
        """How many requests rest-sessions was sent, whoever sent them."""
        return self.stat("cluster.rest-sessions.upstream_rq_total")

    def gauge(self, name: str) -> int:
        """One of the filter's."""
        return self.stat(f"wasmcustom.rest_sessions.{name}")

    def stat(self, name: str) -> int:
        return int(self.get(f"/stats?filter=^{re.escape(name)}$").split(": ")[1])


def free_port() -> int:
    """For programs that cannot say which port the system gave them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

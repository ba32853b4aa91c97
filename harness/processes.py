"""Starts processes, waits until they are ready, and ends them with all that they have started."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import requests

START_SECONDS = 60
# Longer than rest-sessions takes to answer the requests that are in flight.
STOP_SECONDS = 15
POLL_SECONDS = 0.02
LOG_LINES = 20

Found = TypeVar("Found")


class ProcessError(Exception):
    """A process that failed to start, ended or did not answer. The text is for the user: one line, or the log's end."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM. Raised between two steps, so that every process that was started is also ended."""


stop_requested = threading.Event()
# How many logs of each name there are, for all supervisors that share a folder.
logs: Counter[Path] = Counter()


def stop_on_signals() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise `Interrupted` at the next `pause`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop_requested.set())


def pause(seconds: float) -> None:
    if stop_requested.wait(seconds):
        raise Interrupted


def poll(condition: Callable[[], Found], seconds: float, message: str) -> Found:
    """Calls `condition` until it returns something true, and returns that. Fails with `message` after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, message
        pause(POLL_SECONDS)
    return found


class ManagedProcess:
    """A running program, with its output in a file."""

    def __init__(
        self,
        name: str,
        log: Path,
        *command: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            # A process group of its own: Ctrl-C reaches the supervisor alone, and what the program starts (the
            # wheel's `node` is a wrapper) can be ended with it.
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, cores),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def error(self, what: str) -> ProcessError:
        """An error that ends with the last lines of the log."""
        tail = self.output().splitlines()[-LOG_LINES:]
        return ProcessError("\n".join([f"{self.name} {what}; the end of its log:", *tail]))

    def check(self) -> None:
        """Fails if the process has ended."""
        if (status := self.process.poll()) is not None:
            raise self.error(f"ended with status {status}")

    def wait_until(self, ready: Callable[[], Found], seconds: float = START_SECONDS) -> Found:
        """Calls `ready` until it returns something true, and returns that. An `OSError` counts as not ready."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            with suppress(OSError):
                if found := ready():
                    return found
            if time.monotonic() > end:
                raise self.error(f"was not ready in {seconds} s")
            pause(POLL_SECONDS)

    def wait_for_http(self, url: str, *, any_status: bool = False) -> None:
        """Waits for an answer with a status below 400, or with `any_status` for any answer."""
        end = time.monotonic() + START_SECONDS
        while True:
            self.check()
            try:
                response = requests.get(url, timeout=1, allow_redirects=not any_status)
                if not any_status:
                    response.raise_for_status()
                return
            except requests.RequestException as error:
                if time.monotonic() > end:
                    text = f"{self.name} gave no answer on {url} in {START_SECONDS} s: {error}"
                    raise ProcessError(text) from error
                pause(POLL_SECONDS)

    def wait_for_address(self) -> str:
        """The address that the program prints as `listens on ADDRESS`."""
        return self.wait_until(lambda: self.output().partition("listens on ")[2].partition("\n")[0])

    def wait_for_end(self, seconds: float) -> str:
        """The output of a program that ends by itself. Fails if its status is not 0."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise self.error(f"was not done in {seconds} s")
            pause(POLL_SECONDS)
        if self.process.returncode != 0:
            self.check()
        return self.output()

    def signal_group(self, number: int) -> bool:
        """Sends a signal (0 sends none) to the process and all that it has started; false if none of them is left."""
        # A process that has ended stays in its group until it is waited for.
        self.process.poll()
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True


class Supervisor:
    """Processes that end together, in the reverse order of their start, when the `with` block ends."""

    def __init__(self, folder: Path, cores: set[int] | None = None) -> None:
        """`folder` is for the logs; `cores` are the CPUs of processes that do not name their own."""
        self.folder = folder
        self.cores = cores
        self.processes: list[ManagedProcess] = []

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self,
        name: str,
        *command: object,
        log: str | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> ManagedProcess:
        """Starts a command. `log` is the name of its log without `.log`, `name` by default; `cores` are its CPUs."""
        path = unused_log(self.folder, log or name)
        process = ManagedProcess(name, path, *command, cwd=cwd, env=env, cores=cores or self.cores)
        self.processes.append(process)
        return process

    def check(self) -> None:
        """Fails if one of the processes has ended."""
        for process in self.processes:
            process.check()

    def stop(self) -> None:
        """Ends all of them, and what they have started: SIGTERM first, SIGKILL after `STOP_SECONDS`."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = [process for process in reversed(self.processes) if process.signal_group(number)]
            end = time.monotonic() + STOP_SECONDS
            while (left := [process for process in left if process.signal_group(0)]) and time.monotonic() < end:
                time.sleep(POLL_SECONDS)
        if left:
            raise ProcessError(f"{left[0].name} or what it started cannot be ended")


def unused_log(folder: Path, name: str) -> Path:
    """The first log of a name in a folder has that name; the later ones are numbered."""
    logs[folder / name] += 1
    number = logs[folder / name]
    return folder / (f"{name}.log" if number == 1 else f"{name}-{number}.log")


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nothing listens on. All are held until the last is found, so they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for probe in held:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def unusable_port(port: int) -> str | None:
    """Why a program cannot listen on a port of loopback; nothing if it can."""
    with socket.socket() as probe:
        # Connections of an earlier program that linger do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return None

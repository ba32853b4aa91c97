"""The demo that `make run` starts, on free ports."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.paths import ROOT, envoy_bin, programs
from harness.processes import POLL_SECONDS, free_ports
from harness.text import find

START_SECONDS = 90
STOP_SECONDS = 30
ATTEMPTS = 3

# The option of each port that the documentation names.
PORT_FLAGS = {
    10000: "--port",
    9901: "--admin-port",
    3000: "--sessions-port",
    8081: "--accounts-port",
    8080: "--shop-port",
}


class Demo:
    """A process of `make run`. `ports` maps each documented port to the one that is used."""

    def __init__(self, ports: dict[int, int], log: Path, *options: str) -> None:
        self.ports = ports
        self.log = log
        command = [sys.executable, "-m", "harness.run", "--envoy", str(envoy_bin()), "--programs", str(programs())]
        command += options
        for documented, port in ports.items():
            command += [PORT_FLAGS[documented], str(port)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)

    def output(self) -> str:
        return self.log.read_text()

    def here(self, text: str) -> str:
        """Replaces the documented ports in a text with those of this demo."""
        ports = "|".join(map(str, PORT_FLAGS))
        return re.sub(rf"(localhost|127\.0\.0\.1):({ports})\b", lambda m: f"{m[1]}:{self.ports[int(m[2])]}", text)

    def secret(self) -> str:
        """The secret of the session server."""
        return Path(find(r"SECRET=\$\(cat '(.*?)'\)", self.output())).read_text().strip()

    def is_settled(self) -> bool:
        """Whether the demo is ready, or has ended."""
        return "Ready." in self.output() or self.process.poll() is not None

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_SECONDS)


@contextmanager
def running_demo(folder: Path, *options: str) -> Iterator[Demo]:
    """A demo that is ready, and ends with the block."""
    demo = start_demo(folder, options)
    try:
        assert "Ready." in demo.output(), f"make run is not ready:\n{demo.output()}"
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.stop()


def start_demo(folder: Path, options: tuple[str, ...]) -> Demo:
    """Another program may take a free port before the demo does; then the demo is started again, on other ports."""
    for _ in range(ATTEMPTS):
        demo = Demo(dict(zip(PORT_FLAGS, free_ports(len(PORT_FLAGS)), strict=True)), folder / "run.log", *options)
        end = time.monotonic() + START_SECONDS
        while not demo.is_settled() and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        if "in use" not in demo.output():
            break
    return demo

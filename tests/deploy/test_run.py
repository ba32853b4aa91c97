"""`make run`: what it prints, and that it leaves no process behind."""

import re
import signal
import socket
from pathlib import Path

import psutil
import pytest
import requests

from harness import shell
from harness.demo import PORT_FLAGS, Demo, running_demo
from harness.processes import free_ports, poll

LOG_SECONDS = 30
STOP_SECONDS = 30


def test_the_printed_commands_print_what_they_promise(demo: Demo) -> None:
    text = demo.output()
    steps = re.findall(r"^    ((?![→ ])(?:.*\\\n)*.*)((?:\n    → .*)?)", text, re.MULTILINE)
    assert len(steps) == 6, text
    printed = run_quietly([command for command, _ in steps])
    for (command, promise), found in zip(steps, printed, strict=True):
        fragments = [fragment.strip() for fragment in promise.replace("→", "").split("…")]
        pattern = ".*".join(map(re.escape, fragments))
        assert re.match(pattern, found.replace("\r", ""), re.DOTALL), (
            f"{command}\nprinted\n{found}\ninstead of{promise}"
        )


def run_quietly(commands: list[str]) -> list[str]:
    """Without the progress that curl shows when its output is not a terminal."""
    return shell.run_commands([re.sub(r"\bcurl\b(?! -s)", "curl -s", command) for command in commands], {})


def test_the_access_log_has_the_decision_and_no_query(demo: Demo) -> None:
    requests.get(demo.here("http://localhost:10000/products/1?token=secret"), timeout=10)
    (log,) = re.findall(r"tail -f (.*)", demo.output())

    def lines() -> list[str]:
        return [line for line in Path(log).read_text().splitlines() if '"path":"/products/1"' in line]

    line = poll(lines, LOG_SECONDS, f"no request for /products/1 in {log}")[0]
    for part in ('"session_decision":"allow"', '"session_reason":"anonymous"', '"session_rule":"shop"', '"status":200'):
        assert part in line
    assert "secret" not in Path(log).read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process(tmp_path: Path, number: signal.Signals) -> None:
    with running_demo(tmp_path) as running:
        started = psutil.Process(running.process.pid).children(recursive=True)
        assert len(started) == 4
        running.process.send_signal(number)
        assert running.process.wait(timeout=STOP_SECONDS) == 0
    assert not [process for process in started if process.is_running()]


def test_a_process_that_dies_ends_the_others_and_its_log_is_printed(tmp_path: Path) -> None:
    with running_demo(tmp_path) as running:
        started = psutil.Process(running.process.pid).children(recursive=True)
        started[0].kill()
        assert running.process.wait(timeout=STOP_SECONDS) == 1
        text = running.output()
    assert "make run: the session server ended with status -9; the end of its log:" in text
    assert not [process for process in started if process.is_running()]


def test_a_port_in_use_is_named_in_one_line_and_no_process_starts(tmp_path: Path) -> None:
    ports = dict(zip(PORT_FLAGS, free_ports(len(PORT_FLAGS)), strict=True))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports[3000]))
        holder.listen()
        running = Demo(ports, tmp_path / "run.log")
        assert running.process.wait(timeout=STOP_SECONDS) == 1
    assert running.output().splitlines() == [
        f"make run: port {ports[3000]}, meant for the session server, cannot be used (Address already in use); "
        "end what listens there, or choose another: make run ARGS='--sessions-port NUMBER'"
    ]

"""`make run`: what it says, and that it leaves nothing behind."""

import os
import re
import signal
import socket
import time
import urllib.request

import pytest

import support
from support import PORT_FLAGS, ROOT


def test_what_it_prints_can_be_typed_and_prints_what_it_says(demo):
    text = demo.output()
    steps = re.findall(r"^    ((?![→ ])(?:.*\\\n)*.*)((?:\n    → .*)?)", text, re.MULTILINE)
    assert len(steps) == 5, text
    printed = run_quietly([command for command, _ in steps])
    for (command, promise), found in zip(steps, printed):
        fragments = [fragment.strip() for fragment in promise.replace("→", "").split("…")]
        pattern = ".*".join(map(re.escape, fragments))
        assert re.match(pattern, found.replace("\r", ""), re.DOTALL), f"{command}\nprinted\n{found}\ninstead of{promise}"


def run_quietly(commands):
    """curl shows its progress when it does not write to a terminal; a person never sees that."""
    return support.run_commands([re.sub(r"\bcurl\b(?! -s)", "curl -s", command) for command in commands])


def test_the_access_log_tells_the_decision_and_no_query(demo):
    with urllib.request.urlopen(demo.here("http://localhost:10000/products/1?token=secret"), timeout=10):
        pass
    log = re.search(r"tail -f (.*)", demo.output())[1]
    end = time.monotonic() + 30
    while '"path":"/products/1"' not in (text := open(log).read()):
        assert time.monotonic() < end, text
        time.sleep(0.05)
    line = next(line for line in text.splitlines() if '"path":"/products/1"' in line)
    for part in ('"session_decision":"allow"', '"session_reason":"anonymous"', '"session_rule":"shop"', '"status":200'):
        assert part in line
    assert "secret" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_everything_ends_with_it(tmp_path, number):
    with support.demo(tmp_path) as running:
        started = support.processes_below(running.process.pid)
        assert len(started) == 4
        running.process.send_signal(number)
        assert running.process.wait(timeout=30) == 0
    assert not [pid for pid in started if support.is_alive(pid)]


def test_the_death_of_one_ends_the_others_and_shows_its_log(tmp_path):
    with support.demo(tmp_path) as running:
        started = support.processes_below(running.process.pid)
        os.kill(started[0], signal.SIGKILL)
        assert running.process.wait(timeout=30) == 1
        text = running.output()
    assert "make run: the session server ended with status -9; the end of its log:" in text
    assert not [pid for pid in started if support.is_alive(pid)]


def test_a_taken_port_is_named_in_one_line_and_nothing_is_started(tmp_path):
    ports = dict(zip(PORT_FLAGS, support.free_ports(len(PORT_FLAGS))))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports[3000]))
        holder.listen()
        running = support.Demo(ports, tmp_path / "run.log")
        assert running.process.wait(timeout=30) == 1
    assert running.output().splitlines() == [
        f"make run: port {ports[3000]}, meant for the session server, cannot be used (Address already in use); "
        "end what listens there, or choose another: make run ARGS='--sessions-port NUMBER'"
    ]

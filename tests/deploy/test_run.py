"""`make run`: what it says, and that it leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
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
        assert len(started) == 3
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


def make(*arguments, **environment):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=support.WAIT_SECONDS,
    )


@pytest.fixture
def bare_path(tmp_path):
    """A PATH with a shell's everyday tools, but neither Rust nor Python nor a container tool."""
    for name in ("sh", "make", "sed", "head", "find", "test", "mkdir", "cp", "mv", "rm", "touch", "awk"):
        where = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True).stdout.strip()
        if where.startswith("/"):
            (tmp_path / name).symlink_to(where)
    return tmp_path


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("toolchain", "make: cargo is missing; install rustup from https://rustup.rs"),
        (".venv/.installed", "make: python3 is missing; install Python 3.10 or later"),
    ],
)
def test_a_missing_tool_is_named_in_one_line(bare_path, target, line):
    done = make("-W", "tests/requirements.txt", target, PATH=str(bare_path))
    assert done.returncode != 0
    ours = [text for text in done.stderr.splitlines() if not text.startswith("make: ***")]
    assert ours == [line]


def test_help_is_the_default_and_names_every_word(bare_path):
    done = make(PATH=str(bare_path))
    assert done.returncode == 0, done.stderr
    words = re.findall(r"^make ([a-z-]+)", done.stdout, re.MULTILINE)
    assert words == ["help", "build", "test", "run", "validate", "image", "lint", "clean"]


def fake(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def image(folder):
    # The module and the toolchain are there already; only the container tool is in question.
    return make("-o", "toolchain", "-o", str(support.MODULE.relative_to(ROOT)), "image", PATH=str(folder))


def test_image_is_built_by_docker_where_its_engine_runs(bare_path):
    fake(bare_path, "docker", 'echo "docker $@"')
    assert "docker build --tag registry.example.com/rest-sessions-filter:" in image(bare_path).stdout


def test_image_is_built_by_buildah_where_docker_has_no_engine(bare_path):
    fake(bare_path, "docker", "exit 1")
    fake(bare_path, "buildah", 'echo "buildah $@"')
    assert "buildah build --tag registry.example.com/rest-sessions-filter:" in image(bare_path).stdout


def test_image_without_a_container_tool_says_so_in_one_line(bare_path):
    done = image(bare_path)
    assert done.returncode != 0
    assert "make image: needs docker with its engine running, or buildah; neither was found" in done.stderr

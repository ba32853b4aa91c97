"""The process supervisor: it waits for processes, and leaves none behind."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from harness.processes import ProcessError, Supervisor, free_ports, poll

SECONDS = 10


def test_the_children_of_a_process_end_with_it(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        shell = supervisor.start("shell", "sh", "-c", "sleep 60 & echo $!; wait")
        child = psutil.Process(int(shell.wait_until(lambda: shell.output().endswith("\n") and shell.output())))
        assert child.is_running()
    assert not child.is_running()


def test_the_children_of_a_process_that_has_ended_before_end_too(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        shell = supervisor.start("shell", "sh", "-c", "sleep 60 & echo $!")
        child = psutil.Process(int(shell.wait_for_end(SECONDS)))
        assert child.is_running()
    assert not child.is_running()


def test_processes_end_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Supervisor(tmp_path) as supervisor:  # noqa: PT012
        process = psutil.Process(supervisor.start("sleep", "sleep", "60").pid)
        raise RuntimeError
    assert not process.is_running()


def test_a_process_that_ends_too_early_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        process = supervisor.start("shell", "sh", "-c", "echo some; echo reason; exit 3")
        with pytest.raises(ProcessError, match="^shell ended with status 3; the end of its log:\nsome\nreason$"):
            process.wait_until(lambda: False)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.processes.STOP_SECONDS", 0.2)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('set', flush=True); time.sleep(60)"
    )
    with Supervisor(tmp_path) as supervisor:
        process = supervisor.start("stubborn", sys.executable, "-c", code)
        process.wait_until(process.output)
    assert process.process.returncode == -signal.SIGKILL


def test_each_process_has_a_log_of_its_own(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        processes = [supervisor.start("echo", "echo", number) for number in range(2)]
        assert [process.wait_for_end(SECONDS) for process in processes] == ["0\n", "1\n"]
    assert [process.log.name for process in processes] == ["echo.log", "echo-2.log"]


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


def test_a_poll_that_never_succeeds_says_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match="^no answer$"):
        poll(lambda: None, 0.05, "no answer")

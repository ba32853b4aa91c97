"""Runs the commands that documents show."""

import os
import subprocess
from collections.abc import Mapping

from harness.paths import ROOT, programs

COMMAND_SECONDS = 90


def run_shell(script: str, variables: Mapping[str, str]) -> str:
    """The output of a shell script. The programs are on its PATH, as where they are installed."""
    environment = {**os.environ, **variables, "PATH": f"{programs()}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_commands(commands: list[str], variables: Mapping[str, str]) -> list[str]:
    """Runs commands in one shell, so that its variables last, and returns the output of each."""
    boundary = "\x1e"
    script = "\n".join(f"{command}\nprintf '{boundary}'" for command in commands)
    return run_shell(script, variables).split(boundary)[:-1]

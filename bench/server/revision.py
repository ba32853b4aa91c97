"""Builds rest-sessions as it was at another revision of this repository."""

import os
import subprocess
import sys
from pathlib import Path

from bench.rounds import MeasurementError
from harness.paths import ROOT
from harness.processes import Supervisor

# Git ignores it; a folder for each commit.
FOLDER = ROOT / ".tools" / "revisions"
COPY_SECONDS = 60
BUILD_SECONDS = 900


def commit_of(revision: str) -> str:
    command = ["git", "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        found = done.stderr.strip() or "this clone does not have it"
        raise MeasurementError(
            f"revision {revision}: {found}; fetch it (a shallow clone: git fetch --unshallow), or name another with "
            "--base REVISION"
        )
    return done.stdout.strip()


def build(commit: str, logs: Path) -> Path:
    """The program of a commit. Its own Makefile builds it, with the profile that this revision is built with too."""
    source = FOLDER / commit[:12]
    program = source / "target" / "peers" / "rest-sessions"
    if not program.is_file():
        print(f"bench: builds {os.path.relpath(program)}, in some minutes", file=sys.stderr)
        source.mkdir(parents=True, exist_ok=True)
        archive = logs / "source.tar"
        with Supervisor(logs) as supervisor:
            git = supervisor.start("git", "git", "archive", "--output", archive, commit, cwd=ROOT)
            git.wait_for_end(COPY_SECONDS)
            supervisor.start("tar", "tar", "-x", "-f", archive, "-C", source).wait_for_end(COPY_SECONDS)
            make = ["make", "-C", source, "bench-peers", f"CARGO_TARGET_DIR={source}/target"]
            supervisor.start("build", *make).wait_for_end(BUILD_SECONDS)
    return program

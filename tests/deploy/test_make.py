"""The Makefile: its targets, and its errors if a tool is missing."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness.paths import MODULE, ROOT

MAKE_SECONDS = 90


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=MAKE_SECONDS,
    )


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with basic tools of a shell, and without Rust, Python and container tools."""
    for name in ("sh", "make", "sed", "head", "find", "test", "mkdir", "cp", "mv", "rm", "touch", "awk"):
        where = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True).stdout.strip()
        if where.startswith("/"):
            (tmp_path / name).symlink_to(where)
    return tmp_path


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("toolchain", "make: cargo is missing; install rustup from https://rustup.rs"),
        (".venv/.created", "make: python3 is missing; install Python 3.10 or later"),
    ],
)
def test_a_missing_tool_is_named_in_one_line(bare_path: Path, target: str, line: str) -> None:
    done = make("--always-make", target, PATH=str(bare_path))
    assert done.returncode != 0
    lines = [text for text in done.stderr.splitlines() if not text.startswith("make: ***")]
    assert lines == [line]


def test_help_is_the_default_and_lists_every_target(bare_path: Path) -> None:
    done = make(PATH=str(bare_path))
    assert done.returncode == 0, done.stderr
    targets = re.findall(r"^make ([a-z-]+)", done.stdout, re.MULTILINE)
    assert targets == [
        *("help", "build", "test", "soak", "fuzz", "mutants", "run", "bench", "bench-server", "simulate", "screenshot"),
        *("validate", "check", "schema", "image", "lint", "clean"),
    ]


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_missing_toolchain_is_installed(bare_path: Path) -> None:
    fake(bare_path, "cargo", "exit 1")
    fake(bare_path, "rustc", f'test -e "{bare_path}/lib" && echo "{bare_path}"')
    fake(bare_path, "rustup", f'echo "rustup $@"; mkdir -p "{bare_path}/lib/rustlib/wasm32-wasip1"')
    done = make("toolchain", PATH=str(bare_path))
    assert (done.returncode, done.stdout) == (0, "rustup toolchain install\n"), done.stderr


def test_a_missing_compilation_target_is_installed(bare_path: Path) -> None:
    fake(bare_path, "cargo", "exit 1")
    fake(bare_path, "rustc", f'echo "{bare_path}"')
    fake(bare_path, "rustup", 'echo "rustup $@"')
    done = make("toolchain", PATH=str(bare_path))
    assert (done.returncode, done.stdout) == (0, "rustup target add wasm32-wasip1\n"), done.stderr


def test_lint_checks_rust_python_and_lua_and_the_crates() -> None:
    recipe = make("--dry-run", "lint").stdout
    for command in (
        "cargo fmt",
        "cargo clippy",
        "cargo doc",
        "cargo-deny",
        "ruff check",
        "ruff format",
        "mypy",
        "selene",
    ):
        assert command in recipe, command


def lint_crates(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Lints the crates with a cargo-deny that prints its arguments and then runs this script."""
    fake(folder, "cargo-deny", f'echo "cargo-deny $@"; {script}')
    installed = ("-o", "toolchain", "-o", ".venv/.lint-installed")
    return make(*installed, f"CARGO_DENY={folder / 'cargo-deny'}", "lint-crates", PATH=str(folder))


def test_advisories_are_skipped_visibly_where_their_database_is_out_of_reach(bare_path: Path) -> None:
    done = lint_crates(bare_path, 'test "$2" != fetch')
    assert done.returncode == 0, done.stderr
    assert "cargo-deny --locked check licenses bans sources" in done.stdout
    assert "check advisories" not in done.stdout
    assert "make lint: SKIPPED the advisories" in done.stderr


@pytest.mark.parametrize("refused", ["licenses bans sources", "advisories"])
def test_a_crate_that_is_refused_fails_the_lint(bare_path: Path, refused: str) -> None:
    done = lint_crates(bare_path, f'test "$*" != "--locked check {refused}"')
    assert done.returncode != 0
    assert "SKIPPED" not in done.stderr


def image(folder: Path) -> subprocess.CompletedProcess[str]:
    # Skips the module and the toolchain, so that only the container tool matters.
    return make("-o", "toolchain", "-o", str(MODULE.relative_to(ROOT)), "image", PATH=str(folder))


def test_docker_builds_the_image_if_its_engine_runs(bare_path: Path) -> None:
    fake(bare_path, "docker", 'echo "docker $@"')
    assert "docker build --tag registry.example.com/rest-sessions-filter:" in image(bare_path).stdout


def test_buildah_builds_the_image_if_docker_has_no_engine(bare_path: Path) -> None:
    fake(bare_path, "docker", "exit 1")
    fake(bare_path, "buildah", 'echo "buildah $@"')
    assert "buildah build --tag registry.example.com/rest-sessions-filter:" in image(bare_path).stdout


def test_a_missing_container_tool_is_named_in_one_line(bare_path: Path) -> None:
    done = image(bare_path)
    assert done.returncode != 0
    assert "make image: needs docker with its engine running, or buildah; neither was found" in done.stderr


@pytest.fixture
def root_with_apt(bare_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CHROMIUM_BIN", raising=False)
    fake(bare_path, "id", "echo 0")
    fake(bare_path, "apt-get", 'echo "apt-get $@"')
    return bare_path


def test_root_installs_a_missing_browser(root_with_apt: Path) -> None:
    done = make("chromium", PATH=str(root_with_apt))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^apt-get install .* chromium ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(("name", "script"), [("chromium", "exit 0"), ("google-chrome", "exit 0"), ("id", "echo 1000")])
def test_no_browser_is_installed_if_there_is_one_or_the_user_is_not_root(
    root_with_apt: Path, name: str, script: str
) -> None:
    fake(root_with_apt, name, script)
    done = make("chromium", PATH=str(root_with_apt))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_failed_installation_of_a_browser_is_ignored(root_with_apt: Path) -> None:
    fake(root_with_apt, "apt-get", "exit 100")
    assert make("chromium", PATH=str(root_with_apt)).returncode == 0

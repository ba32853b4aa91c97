"""docs/guides/services.md: what it shows is taken from there, started, and used through a real Envoy."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.paths import ROOT, programs
from harness.rest_sessions import COOKIE
from harness.text import find
from tests.services.edge import Edge, edge

GUIDE = (ROOT / "docs" / "guides" / "services.md").read_text()
NODE = ROOT / ".venv" / "bin" / "node"
NODE_MODULES = ROOT / ".tools" / "services" / "node_modules"
# The command of a service, and the folder that it runs in.
Command = tuple[list[object], Path | None]
TEXTS = ["lamp", "Käse ☃", "\U0001f600", '"quotes" and \\', "a\r\nx-evil: 1"]


def shown(language: str) -> str:
    return find(rf"^```{language}\n(.*?)^```$", GUIDE)


CONFIGURATION = json.loads(shown("json"))


def express(folder: Path) -> Command:
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "service.mjs").write_text(shown("js"))
    return [NODE, "service.mjs"], folder


def fastapi(folder: Path) -> Command:
    (folder / "service.py").write_text(shown("python"))
    return [sys.executable, "-m", "uvicorn", "service:app", "--port", "{port}"], folder


def axum(_: Path) -> Command:
    return [programs() / "cart"], None


@pytest.fixture(scope="module", params=[express, fastapi, axum], ids=lambda service: service.__name__)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp(request.param.__name__)
    command, cwd = request.param(folder)
    with edge(folder, CONFIGURATION, command, ready="/cart", cwd=cwd) as running:
        yield running


def test_it_reads_the_session(service: Edge) -> None:
    token = service.log_in(quote("jürgen 100%"), cart="Käse ☃")
    assert service.ask("GET", "/cart", token).json() == {"user": "jürgen 100%", "cart": "Käse ☃"}
    assert service.ask("GET", "/cart", service.log_in()).json() == {"user": "user123", "cart": None}


def test_without_a_session_nobody_gets_there(service: Edge) -> None:
    assert service.ask("GET", "/cart").status_code == 401


@pytest.mark.parametrize("text", TEXTS, ids=["ASCII", "UTF-8", "beyond 16 bits", "quotes", "a forged header"])
def test_it_changes_one_key_and_the_next_request_sees_it(service: Edge, text: str) -> None:
    token = service.log_in(name="Ada")
    answer = service.ask("PUT", f"/cart/{quote(text, safe='')}", token)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.lower().startswith(("x-session", "x-evil"))]
    assert service.ask("GET", "/cart", token).json()["cart"] == text
    assert service.data(token) == {"name": "Ada", "cart": text}


def test_it_removes_one_key(service: Edge) -> None:
    token = service.log_in(name="Ada", cart="lamp")
    assert service.ask("DELETE", "/cart", token).status_code == 200
    assert service.ask("GET", "/cart", token).json()["cart"] is None
    assert service.data(token) == {"name": "Ada"}


def test_it_ends_the_session(service: Edge) -> None:
    token = service.log_in()
    answer = service.ask("POST", "/end", token)
    assert answer.status_code == 200
    assert re.match(rf"{COOKIE}=; .*Max-Age=0", answer.headers["set-cookie"])
    assert service.session(token) == {}
    assert service.ask("GET", "/cart", token).status_code == 401


def test_the_program_in_rust_is_the_one_that_is_built() -> None:
    assert shown("rust") == (ROOT / "envoy" / "demo" / "cart" / "src" / "main.rs").read_text()


def test_every_language_has_an_example() -> None:
    for language in ("js", "python", "java", "go", "rust"):
        assert "x-session-set" in shown(language)

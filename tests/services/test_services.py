"""docs/guides/services.md: what it shows is taken from there, started, and used through a real Envoy."""

import json
import re
import sys
from urllib.parse import quote

import pytest

import support
from edge import COOKIE, ROOT, edge

GUIDE = (ROOT / "docs" / "guides" / "services.md").read_text()
NODE = ROOT / ".venv" / "bin" / "node"
NODE_MODULES = ROOT / ".tools" / "services" / "node_modules"
TEXTS = ["lamp", "Käse ☃", "\U0001f600", '"quotes" and \\', "a\r\nx-evil: 1"]


def shown(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return text


CONFIGURATION = json.loads(shown("json"))


def express(folder) -> tuple[list, dict]:
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "service.mjs").write_text(shown("js"))
    return [NODE, "service.mjs"], {"cwd": folder}


def fastapi(folder) -> tuple[list, dict]:
    (folder / "service.py").write_text(shown("python"))
    return [sys.executable, "-m", "uvicorn", "service:app", "--port", "{port}"], {"cwd": folder}


def axum(_) -> tuple[list, dict]:
    return [support.programs() / "cart"], {}


@pytest.fixture(scope="module", params=[express, fastapi, axum], ids=lambda service: service.__name__)
def service(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.__name__)
    command, options = request.param(folder)
    with edge(folder, CONFIGURATION, command, ready="/cart", **options) as running:
        yield running


def test_it_reads_the_session(service):
    token = service.log_in(quote("jürgen 100%"), cart="Käse ☃")
    assert service.ask("GET", "/cart", token).json() == {"user": "jürgen 100%", "cart": "Käse ☃"}
    assert service.ask("GET", "/cart", service.log_in()).json() == {"user": "user123", "cart": None}


def test_without_a_session_nobody_gets_there(service):
    assert service.ask("GET", "/cart").status_code == 401


@pytest.mark.parametrize("text", TEXTS, ids=["ASCII", "UTF-8", "beyond 16 bits", "quotes", "a forged header"])
def test_it_changes_one_key_and_the_next_request_sees_it(service, text):
    token = service.log_in(name="Ada")
    answer = service.ask("PUT", f"/cart/{quote(text, safe='')}", token)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.lower().startswith(("x-session", "x-evil"))]
    assert service.ask("GET", "/cart", token).json()["cart"] == text
    assert service.data(token) == {"name": "Ada", "cart": text}


def test_it_removes_one_key(service):
    token = service.log_in(name="Ada", cart="lamp")
    assert service.ask("DELETE", "/cart", token).status_code == 200
    assert service.ask("GET", "/cart", token).json()["cart"] is None
    assert service.data(token) == {"name": "Ada"}


def test_it_ends_the_session(service):
    token = service.log_in()
    answer = service.ask("POST", "/end", token)
    assert answer.status_code == 200
    assert re.match(rf"{COOKIE}=; .*Max-Age=0", answer.headers["set-cookie"])
    assert service.session(token) == {}
    assert service.ask("GET", "/cart", token).status_code == 401


def test_the_program_in_rust_is_the_one_that_is_built():
    assert shown("rust") == (ROOT / "envoy" / "demo" / "cart" / "src" / "main.rs").read_text()


def test_every_language_has_an_example():
    for language in ("js", "python", "java", "go", "rust"):
        assert "x-session-set" in shown(language)

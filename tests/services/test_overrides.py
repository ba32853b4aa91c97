"""Headers from which real servers read another path or host: each server believes them, and the filter removes them."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.services.edge import TIMEOUT_SECONDS, Edge, edge
from tests.services.test_services import NODE, NODE_MODULES

HERE = Path(__file__).parent
PUBLIC_PATH = "/static/admin/secret"
PUBLIC_HOST, PRIVATE_HOST = "public.example", "private.example"
CONFIGURATION = {
    "app": "mywebapp",
    "rest_sessions": {"cluster": "rest-sessions"},
    "rules": [{"match": {"paths": ["/static/*"], "hosts": [PUBLIC_HOST]}, "session": "off"}],
    "default": {"session": "required"},
}
SERVERS: dict[str, list[object]] = {
    "gunicorn": [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "reflector:wsgi"],
    "daphne": [sys.executable, "-m", "daphne", "--bind", "127.0.0.1", "--port", "{port}", "reflector:asgi"],
    "express": [NODE, "reflector.mjs"],
}
# The spelling in which a server reads its header.
PATH_HEADERS = {"gunicorn": "SCRIPT_NAME", "daphne": "Daphne-Root-Path"}


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp(request.param)
    for file in HERE.glob("reflector.*"):
        shutil.copy(file, folder)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    with edge(folder, CONFIGURATION, SERVERS[request.param], cwd=folder) as running:
        yield running


def reading(url: str, headers: dict[str, str]) -> dict[str, str]:
    """What a server reads from a request for the public path of the public host."""
    headers = {"Host": PUBLIC_HOST, **headers}
    response = requests.get(url + PUBLIC_PATH, headers=headers, timeout=TIMEOUT_SECONDS)
    found: dict[str, str] = response.json()
    return found


@pytest.mark.parametrize(("server", "header"), PATH_HEADERS.items(), indirect=["server"])
def test_a_header_does_not_move_the_path_under_the_rule_of_another(server: Edge, header: str) -> None:
    moved = {header: "/static"}
    assert reading(server.service_url, moved)["view"] == "secret", "the server believes the header"
    assert reading(server.url, moved)["view"] == "public"


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_a_header_does_not_name_another_host_than_the_one_that_the_rule_matched(server: Edge) -> None:
    moved = {"X-Forwarded-Host": PRIVATE_HOST}
    assert reading(server.service_url, moved)["host"] == PRIVATE_HOST, "the server believes the header"
    assert reading(server.url, moved)["host"] == PUBLIC_HOST


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_without_such_a_header_rule_and_server_agree(server: Edge) -> None:
    assert reading(server.url, {}) == {"view": "public", "host": PUBLIC_HOST}
    assert server.ask("GET", "/admin/secret").status_code == 401

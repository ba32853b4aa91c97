"""`session_key` of Django behind a real Envoy is the token that the filter found, whatever cookies a client sends."""

import http.client
import json
import sys
from collections.abc import Iterator

import pytest

from harness.paths import ROOT
from tests.services.edge import Edge, edge

NAME = "session-cookie"
DJANGO = ROOT / "django"
CONFIGURATION = json.loads((DJANGO / "filter.json").read_text())
# A header is the second source, so that a request can have a session and a cookie that is not its token.
CONFIGURATION["token_from"] += [{"header": "x-token"}]


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    command = [sys.executable, "-m", "tests.key_site", request.param, "{port}"]
    with edge(tmp_path_factory.mktemp("site"), CONFIGURATION, command, cwd=DJANGO) as running:
        yield running


def ask(site: Edge, *cookies: str, token: str | None = None) -> str:
    """The status and the body of the answer to a request with these Cookie headers, and with the token in a header."""
    connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=10)
    connection.putrequest("GET", "/")
    for cookie in cookies:
        connection.putheader("cookie", cookie.encode())
    if token:
        connection.putheader("x-token", token)
    connection.endheaders()
    answer = connection.getresponse()
    return f"{answer.status} {answer.read().decode()}"


def octal(token: str) -> str:
    return '"' + "".join(f"\\{ord(character):03o}" for character in token) + '"'


def test_the_key_is_the_token_that_the_filter_looked_up(site: Edge) -> None:
    own, other = site.log_in("ada"), site.log_in("eve")
    assert ask(site, f"{NAME}={own}") == f"200 {own}"
    attacks = [f"\u2000{NAME}={other}", f"{NAME}={octal(other)}", f"{NAME}=\u00a0{other}", f"{NAME}\u3000={other}"]
    for attack in attacks:
        for cookies in (f"{attack}; {NAME}={own}", f"{NAME}={own}; {attack}"):
            assert ask(site, cookies) == f"200 {own}", attack


def test_a_cookie_that_the_filter_does_not_read_is_no_key_of_a_session_from_elsewhere(site: Edge) -> None:
    own, other = site.log_in("ada"), site.log_in("eve")
    future = other[:55] + "Zzzzzzzzz"
    attacks = [f"\u2000{NAME}={other}", f"{NAME}={octal(other)}", f"a=1,{NAME}={other}", f"{NAME}={future}"]
    for attack in attacks:
        assert ask(site, attack, token=own) == "200 unknown", attack


def test_of_two_tokens_the_key_is_never_the_one_that_is_not_the_session(site: Edge) -> None:
    own, junk = site.log_in("ada"), "B" * 64
    for cookies in (
        [f"{NAME}={own}; {NAME}={junk}"],
        [f"{NAME}={junk}; {NAME}={own}"],
        [f"{NAME}={own}", f"{NAME}={junk}"],
        [f"{NAME}={junk}", f"{NAME}={own}"],
        [f'{NAME}={own}; a="', f'b=";{NAME}={junk}'],
    ):
        assert ask(site, *cookies) in ("200 none", "200 unknown", f"200 {own}"), cookies

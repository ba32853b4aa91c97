"""`request.session.session_key` under WSGI and ASGI: the token that the filter looks up, whatever cookies there are."""

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from edge_sessions import OwnedByTheEdge, SessionMiddleware
from edge_sessions.testing import session_headers

OWN, OTHER = "A" * 64, "B" * 64
# The last nine characters are the creation time, in milliseconds: the year 2059 in the second one.
PAST, FUTURE = "a" * 55 + "Zk0000000", "a" * 55 + "Zzzzzzzzz"
NAME = "session-cookie"

Key = Callable[..., str | None]


def wsgi(*lines: bytes) -> HttpRequest:
    """A server joins several headers with commas."""
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in session_headers().items()}
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": BytesIO(), **headers}
    if lines:
        environ["HTTP_COOKIE"] = b",".join(lines).decode("latin-1")
    return WSGIRequest(environ)


def asgi(*lines: bytes) -> HttpRequest:
    headers = [(name.encode(), value.encode()) for name, value in session_headers().items()]
    headers += [(b"cookie", line) for line in lines]
    return ASGIRequest({"method": "GET", "path": "/", "headers": headers}, BytesIO())


@pytest.fixture(params=[wsgi, asgi])
def key(request: pytest.FixtureRequest) -> Key:
    def session_key(*lines: str | bytes) -> str | None:
        made = request.param(*(line.encode() if isinstance(line, str) else line for line in lines))
        SessionMiddleware(lambda _: HttpResponse()).process_request(made)
        key: str | None = made.session.session_key
        return key

    return session_key


@pytest.mark.parametrize(
    "line",
    [
        f"{NAME}={OWN}",
        f'{NAME}="{OWN}"',
        f'a=1;\t{NAME}\t= "{OWN}" ;b=2',
        f"{NAME}={OWN}; {NAME}={OWN}",
        f"{NAME}=junk; {NAME}={OWN}; {NAME}",
        f"a=1,2; {NAME}={OWN}; {NAME}2={OTHER}",
    ],
)
def test_the_token_is_read_as_the_filter_reads_it(key: Key, line: str) -> None:
    assert key(line) == OWN


@pytest.mark.parametrize("space", ["\u2000", "\u00a0", "\u0085", "\u3000", "\x0b", "\x0c", "\x1c", "\x1f", "\ufeff"])
def test_a_name_with_other_white_space_is_another_cookie(key: Key, space: str) -> None:
    for other in (f"{space}{NAME}={OTHER}", f"{NAME}{space}={OTHER}", f"{NAME}={space}{OTHER}"):
        assert key(f"{NAME}={OWN}; {other}") == OWN
        assert key(f"{other}; {NAME}={OWN}") == OWN
        with pytest.raises(OwnedByTheEdge):
            key(other)


def octal(token: str) -> str:
    return "".join(f"\\{ord(character):03o}" for character in token)


@pytest.mark.parametrize(
    "value",
    [
        f'"{octal(OTHER)}"',
        f'"{OTHER[:-1]}{octal("B")}"',
        f'"\\B{OTHER[1:]}"',
        f'""{OTHER}""',
        f'"{OTHER}',
        f"'{OTHER}'",
        f"{OTHER[:-1]}%42",
        f"{OTHER[:-1]}\u0392",
        f"{OTHER[:-1]}\uff22",
        f"{OTHER[:-1]}",
        f"{OTHER}B",
        f"{OTHER}\x00",
        f"{OTHER[:32]}\n{OTHER[32:]}",
    ],
)
def test_a_value_that_only_another_reader_takes_for_a_token_is_ignored(key: Key, value: str) -> None:
    assert key(f"{NAME}={OWN}; {NAME}={value}") == OWN
    assert key(f"{NAME}={value}; {NAME}={OWN}") == OWN
    with pytest.raises(OwnedByTheEdge):
        key(f"{NAME}={value}")


@pytest.mark.parametrize(
    "name", ["Session-Cookie", "session_cookie", "session%2Dcookie", "$session-cookie", '"session-cookie"', "", "a b"]
)
def test_another_name_is_another_cookie(key: Key, name: str) -> None:
    assert key(f"{NAME}={OWN}; {name}={OTHER}") == OWN


def test_bytes_that_are_not_utf_8_hide_nothing(key: Key) -> None:
    assert key(b"a=\xff\xfe; session-cookie=" + OWN.encode()) == OWN
    assert key(b"\xe2\x80\x80session-cookie=" + OTHER.encode() + b"; session-cookie=" + OWN.encode()) == OWN


def test_two_different_tokens_have_no_key(key: Key) -> None:
    for lines in ([f"{NAME}={OWN}; {NAME}={OTHER}"], [f"{NAME}={OWN}", f"{NAME}={OTHER}"]):
        with pytest.raises(OwnedByTheEdge, match="several with different ones"):
            key(*lines)
        with pytest.raises(OwnedByTheEdge):
            key(*reversed(lines))


def test_a_comma_in_the_value_of_another_cookie_starts_no_cookie(key: Key) -> None:
    for line in (f"a=1,{NAME}={OTHER}", f"a=1,{NAME}={OTHER}; {NAME}={OWN}", f"{NAME}={OWN}; a=1,{NAME}={OTHER}"):
        with pytest.raises(OwnedByTheEdge):
            key(line)


def test_cookies_in_several_headers_have_a_key_where_their_reading_is_certain(key: Key) -> None:
    assert key("a=1", f"b=2; {NAME}={OWN}") == OWN
    assert key(f"{NAME}={OWN}; b=2", "a=1") == OWN
    for lines in (["a=1", f"{NAME}={OWN}"], [f"{NAME}={OWN}", "a=1"]):
        with pytest.raises(OwnedByTheEdge):
            key(*lines)


def test_a_token_of_the_future_is_no_key_since_the_filter_ignores_it(key: Key) -> None:
    assert key(f"{NAME}={PAST}") == PAST
    with pytest.raises(OwnedByTheEdge):
        key(f"{NAME}={FUTURE}")


def test_without_a_cookie_there_is_no_key(key: Key) -> None:
    for lines in ([], [""], ["a=1"]):
        with pytest.raises(OwnedByTheEdge):
            key(*lines)


@override_settings(SESSION_COOKIE_NAME="sitzung-ü")
def test_a_name_is_compared_as_utf_8(key: Key) -> None:
    assert key(f"sitzung-ü={OWN}") == OWN


def exists(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.session.exists(OTHER)))


urlpatterns = [path("exists", exists)]


@override_settings(ROOT_URLCONF=__name__)
def test_the_cookie_of_an_attacker_is_not_the_requests_own_session() -> None:
    line = f"{NAME}={OWN}; \u2000{NAME}={OTHER}"
    with pytest.raises(OwnedByTheEdge, match="its own session only"):
        Client().get("/exists", headers={**session_headers(), "cookie": line.encode().decode("latin-1")})
    with pytest.raises(OwnedByTheEdge, match="its own session only"):
        asyncio.run(
            AsyncClient().get("/exists", headers={**session_headers(), "cookie": line.encode().decode("latin-1")})
        )

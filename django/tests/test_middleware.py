"""The middleware in the demo site: what views get from requests, and what responses carry."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from edge_sessions import NoSession, SessionMiddleware, SessionStore
from edge_sessions.testing import session_headers


def change_and_fail(request: HttpRequest) -> HttpResponse:
    request.session["x"] = 1
    return HttpResponse(status=500)


def change_save_and_fail(request: HttpRequest) -> HttpResponse:
    request.session["x"] = 1
    request.session.save()
    return HttpResponse(status=500)


def end_and_raise(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    raise RuntimeError


def untouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def touched(request: HttpRequest) -> HttpResponse:
    return HttpResponse(cast(SessionStore, request.session).user or "anonymous")


VIEWS = (change_and_fail, change_save_and_fail, end_and_raise, untouched, touched)
urlpatterns = [path(view.__name__, view) for view in VIEWS]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def own_urls() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__):
        yield


def sent(response: Any) -> Any:
    return json.loads(response["x-session-set"])


def test_a_change_of_one_key_sends_only_that_key(client: Client) -> None:
    response = client.post("/cart/add", headers=session_headers(cart=3, name="Ada"))
    assert response.status_code == 302
    assert sent(response) == {"cart": 4}


def test_a_deleted_key_is_sent_as_null(client: Client) -> None:
    assert sent(client.post("/cart/empty", headers=session_headers(cart=3, name="Ada"))) == {"cart": None}


def test_ending_the_session_sends_x_session_kill(client: Client) -> None:
    response = client.post("/end", headers=session_headers())
    assert response["x-session-kill"] == "1"
    assert "x-session-set" not in response


def test_the_engine_neither_sets_nor_deletes_the_cookie(client: Client) -> None:
    client.cookies["session-cookie"] = "a" * 64
    for path_, headers in (("/cart/add", session_headers()), ("/end", session_headers())):
        assert "session-cookie" not in client.post(path_, headers=headers).cookies
    assert "session-cookie" not in client.get("/", headers={"x-session-status": "none"}).cookies


def test_reading_the_session_sends_no_change(client: Client) -> None:
    response = client.get("/", headers=session_headers(user="ada", cart=3))
    assert "The session of ada" in response.text and "<dd>3</dd>" in response.text
    assert not {"x-session-set", "x-session-kill", "Cache-Control"} & set(response.headers)


@pytest.mark.parametrize(("status", "title"), [("none", "No session"), ("unavailable", "cannot be checked")])
def test_a_public_page_distinguishes_none_from_unavailable(client: Client, status: str, title: str) -> None:
    assert title in client.get("/", headers={"x-session-status": status}).text


def test_a_change_without_a_session_raises(client: Client) -> None:
    with pytest.raises(NoSession):
        client.post("/cart/add", headers={"x-session-status": "none"})


def test_a_request_that_bypassed_the_filter_raises_only_if_the_session_is_used(client: Client, own_urls: None) -> None:
    assert client.get("/untouched").status_code == 200
    with pytest.raises(ImproperlyConfigured, match="Send requests to Envoy and not to this service"):
        client.get("/touched")


def test_a_response_varies_on_the_session_if_the_view_read_it(client: Client, own_urls: None) -> None:
    assert "Vary" not in client.get("/untouched", headers=session_headers())
    assert client.get("/touched", headers=session_headers())["Vary"].split(", ")[0] == "Cookie"


def test_a_response_that_changes_the_session_is_private(client: Client) -> None:
    assert client.post("/cart/add", headers=session_headers())["Cache-Control"] == "private"


def test_a_failed_view_changes_nothing_unless_it_called_save(client: Client, own_urls: None) -> None:
    assert "x-session-set" not in client.get("/change_and_fail", headers=session_headers())
    assert sent(client.get("/change_save_and_fail", headers=session_headers())) == {"x": 1}


def test_a_failed_view_still_ends_the_session(own_urls: None) -> None:
    client = Client(raise_request_exception=False)
    response = client.get("/end_and_raise", headers=session_headers())
    assert (response.status_code, response["x-session-kill"]) == (500, "1")


def test_asynchronous_views_have_the_same_session() -> None:
    async def use() -> tuple[str, Any]:
        client = AsyncClient()
        shown = await client.get("/theme", headers=session_headers(theme="dark"))
        changed = await client.post("/theme", {"theme": "light"}, headers=session_headers(theme="dark"))
        return shown.content.decode(), sent(changed)

    assert asyncio.run(use()) == ("dark", {"theme": "light"})


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
def test_the_middleware_rejects_another_engine() -> None:
    with pytest.raises(ImproperlyConfigured, match='signed_cookies.*expected "edge_sessions"'):
        SessionMiddleware(lambda request: HttpResponse())


@override_settings(MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"], ROOT_URLCONF=__name__)
def test_djangos_own_middleware_raises_if_the_session_is_used(client: Client) -> None:
    with pytest.raises(ImproperlyConfigured, match="MIDDLEWARE must name edge_sessions.SessionMiddleware"):
        client.get("/touched", headers=session_headers())

"""The parts of Django that use sessions: messages, CSRF, authentication, caching."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from django.contrib import auth, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.test import Client, override_settings
from django.urls import path

from edge_sessions import NoSession, OwnedByTheEdge, SessionStore
from edge_sessions.testing import session_headers

NONE = {"x-session-status": "none"}


def say(request: HttpRequest) -> HttpResponse:
    messages.success(request, "Saved.")
    return HttpResponse()


def hear(request: HttpRequest) -> HttpResponse:
    return HttpResponse(", ".join(map(str, messages.get_messages(request))))


def form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_token(request))


def log_out(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    return HttpResponse()


def log_in(request: HttpRequest) -> HttpResponse:
    auth.login(request, User(username="ada"), backend="any")
    return HttpResponse()


def whose(request: HttpRequest) -> HttpResponse:
    return HttpResponse(cast(SessionStore, request.session).user or "anonymous")


urlpatterns = [path(view.__name__, view) for view in (say, hear, form, log_out, log_in, whose)]
MIDDLEWARE = [
    "edge_sessions.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]


@pytest.fixture(autouse=True)
def own_urls() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        yield


def sent(response: Any) -> Any:
    return json.loads(response["x-session-set"])


SESSION_STORAGE = override_settings(MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage")


@SESSION_STORAGE
def test_messages_are_kept_in_the_session_until_they_are_read() -> None:
    waiting = sent(Client().get("/say", headers=session_headers()))
    response = Client().get("/hear", headers=session_headers(**waiting))
    assert response.text == "Saved."
    assert sent(response) == {"_messages": None}


@SESSION_STORAGE
def test_session_storage_of_messages_raises_without_a_session() -> None:
    with pytest.raises(NoSession, match="'_messages'"):
        Client().get("/say", headers=NONE)


def test_fallback_storage_of_messages_uses_a_cookie_and_needs_no_session() -> None:
    client = Client()
    assert "x-session-set" not in client.get("/say", headers=NONE)
    assert client.get("/hear", headers=NONE).text == "Saved."


@override_settings(CSRF_USE_SESSIONS=True)
def test_the_csrf_secret_can_be_kept_in_the_session() -> None:
    client = Client(enforce_csrf_checks=True)
    shown = client.get("/form", headers=session_headers())
    headers = {**session_headers(**sent(shown)), "x-csrftoken": shown.text}
    assert client.post("/hear", headers=headers).status_code == 200
    assert client.post("/hear", headers=session_headers(**sent(shown))).status_code == 403


def test_the_csrf_cookie_needs_no_session() -> None:
    assert "csrftoken" in Client().get("/form", headers=NONE).cookies


def test_djangos_logout_ends_the_session_for_all_services() -> None:
    assert Client().get("/log_out", headers=session_headers())["x-session-kill"] == "1"
    assert Client().get("/log_out", headers=NONE).status_code == 200


def test_djangos_login_raises_and_names_the_login_service() -> None:
    with pytest.raises(OwnedByTheEdge, match="a session gets its key at login"):
        Client().get("/log_in", headers=session_headers())


def test_djangos_cache_tells_users_apart_without_a_cookie() -> None:
    """With `forward_token: false`, requests of different users differ in the filter's headers alone."""
    cache = "django.middleware.cache"
    cached = [f"{cache}.UpdateCacheMiddleware", *MIDDLEWARE, f"{cache}.FetchFromCacheMiddleware"]
    with override_settings(MIDDLEWARE=cached):
        client = Client()
        for _ in range(2):
            for user in ("ada", "max"):
                assert client.get("/whose", headers=session_headers(user=user)).text == user
            assert client.get("/whose", headers=NONE).text == "anonymous"

"""The helpers for tests of services that use the engine."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import AsyncClient, Client, SimpleTestCase

from edge_sessions import SessionStore
from edge_sessions.testing import TOKEN, mock_session, session_headers


def test_session_headers_are_those_of_the_filter() -> None:
    assert session_headers(user="jürgen 100%", name="☃") == {
        "x-session-status": "active",
        "x-session-user": "j%C3%BCrgen 100%25",
        "x-session-data": r'{"name":"\u2603"}',
        "x-session-ttl": "7200",
    }
    assert SessionStore(TOKEN, session_headers(user="jürgen 100%")).user == "jürgen 100%"


@mock_session(user="ada", cart=3)
def test_changes_last_for_the_next_requests_of_a_test() -> None:
    client = Client()
    assert "<dd>3</dd>" in client.get("/").text
    client.post("/cart/add")
    assert "The session of ada" in client.get("/").text
    assert "<dd>4</dd>" in client.get("/").text
    client.post("/cart/empty")
    assert "<dd>" not in client.get("/").text
    client.post("/end")
    assert "No session" in client.get("/").text


def test_each_test_starts_with_the_given_session() -> None:
    held = mock_session(cart=3)
    for _ in range(2):
        with held:
            Client().post("/cart/add")
            assert "<dd>4</dd>" in Client().get("/").text


def test_the_session_of_djangos_test_client_raises_and_names_these_helpers() -> None:
    with pytest.raises(ImproperlyConfigured, match="edge_sessions.testing"):
        _ = Client().session


class InDjangosTestCase(SimpleTestCase):
    @mock_session(cart=3)
    def test_it_decorates_a_method(self) -> None:
        self.assertContains(self.client.get("/"), "<dd>3</dd>")

    @mock_session(theme="dark")
    async def test_it_decorates_an_asynchronous_method(self) -> None:
        response = await AsyncClient().get("/theme")
        self.assertContains(response, "dark")


@mock_session(cart=3)
class AroundAWholeTestCase(SimpleTestCase):
    def test_the_first_test_has_the_given_session(self) -> None:
        self.client.post("/cart/add")
        self.assertContains(self.client.get("/"), "<dd>4</dd>")

    def test_the_second_test_has_the_given_session(self) -> None:
        self.client.post("/cart/add")
        self.assertContains(self.client.get("/"), "<dd>4</dd>")

"""Sessions for tests without a filter.

@mock_session(cart=3)
def test_the_cart_is_shown(self):
    self.assertContains(self.client.get("/cart"), "3 items")
"""

import json
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse
from django.test.utils import TestContextDecorator

from edge_sessions.data import compact
from edge_sessions.headers import DATA, KILL, SET, STATUS, TTL, USER
from edge_sessions.middleware import SessionMiddleware

TOKEN = "T" * 64
# The filter percent-encodes all other characters of a user's id.
VISIBLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def session_headers(user: str = "user123", ttl: int = 7200, **data: Any) -> dict[str, str]:
    """The headers that the filter adds for an active session.

    client.get("/cart", headers=session_headers(cart=3))
    """
    return {STATUS: "active", USER: quote(user, safe=VISIBLE), DATA: compact(data), TTL: str(ttl)}


class mock_session(TestContextDecorator):
    """Gives every request this session. Changes last until the end of the test.

    A decorator of tests, asynchronous ones too, and of test case classes; or a context manager.
    """

    def __init__(self, user: str = "user123", **data: Any) -> None:
        super().__init__()
        self.user, self.data = user, data

    def enable(self) -> None:
        current: dict[str, Any] | None = self.data
        original = SessionMiddleware.process_response

        def process_request(middleware: SessionMiddleware, request: HttpRequest) -> None:
            headers = {STATUS: "none"} if current is None else session_headers(self.user, **current)
            request.session = middleware.SessionStore(TOKEN, headers)

        def process_response(
            middleware: SessionMiddleware, request: HttpRequest, response: HttpResponse
        ) -> HttpResponse:
            nonlocal current
            response = original(middleware, request, response)
            if KILL in response.headers:
                current = None
            elif current is not None:
                merged = current | json.loads(response.headers.get(SET, "{}"))
                current = {key: value for key, value in merged.items() if value is not None}
            return response

        self.filter = patch.multiple(
            SessionMiddleware, process_request=process_request, process_response=process_response
        )
        self.filter.start()

    def disable(self) -> None:
        self.filter.stop()

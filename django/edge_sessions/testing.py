"""Sessions for tests, without a filter.

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
VISIBLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def session_headers(user: str = "user123", ttl: int = 7200, **data: Any) -> dict[str, str]:
    """What the filter sets for an active session: `client.get("/cart", headers=session_headers(cart=3))`."""
    return {STATUS: "active", USER: quote(user, safe=VISIBLE), DATA: compact(data), TTL: str(ttl)}


class mock_session(TestContextDecorator):
    """Every request has this session, and each next one what the last has left of it.

    Decorates tests, asynchronous ones too, and whole classes of them; or use it with `with`.
    """

    def __init__(self, user: str = "user123", **data: Any) -> None:
        super().__init__()
        self.user, self.data = user, data

    def enable(self) -> None:
        left: dict[str, Any] | None = self.data
        take_part = SessionMiddleware.process_response

        def process_request(middleware: SessionMiddleware, request: HttpRequest) -> None:
            headers = {STATUS: "none"} if left is None else session_headers(self.user, **left)
            request.session = middleware.SessionStore(TOKEN, headers)

        def process_response(
            middleware: SessionMiddleware, request: HttpRequest, response: HttpResponse
        ) -> HttpResponse:
            nonlocal left
            response = take_part(middleware, request, response)
            if KILL in response.headers:
                left = None
            elif left is not None:
                merged = left | json.loads(response.headers.get(SET, "{}"))
                left = {key: value for key, value in merged.items() if value is not None}
            return response

        self.filter = patch.multiple(
            SessionMiddleware, process_request=process_request, process_response=process_response
        )
        self.filter.start()

    def disable(self) -> None:
        self.filter.stop()

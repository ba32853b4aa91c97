"""The middleware: sets `request.session`, and writes its changes to the response."""

from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib.sessions import middleware
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control, patch_vary_headers

from edge_sessions.cookie import read_token
from edge_sessions.headers import DATA, STATUS, USER
from edge_sessions.store import SessionStore

# Django's cache compares request headers. Without the token, the cookie does not tell users apart.
VARY = ("Cookie", STATUS, USER, DATA)


class SessionMiddleware(middleware.SessionMiddleware):
    """Replaces Django's own middleware, which would set and delete the cookie."""

    SessionStore: type[SessionStore]

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if not issubclass(self.SessionStore, SessionStore):
            raise ImproperlyConfigured(
                f'SESSION_ENGINE is "{settings.SESSION_ENGINE}", which edge_sessions.SessionMiddleware cannot serve; '
                'expected "edge_sessions".'
            )

    def process_request(self, request: HttpRequest) -> None:
        token = read_token(request.META.get("HTTP_COOKIE", ""), settings.SESSION_COOKIE_NAME)
        request.session = self.SessionStore(token, request.headers)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        session = cast(SessionStore, request.session)
        # As in Django, a failed view changes nothing unless it called save(). Ending the session always takes effect.
        if session.modified and response.status_code < 500:
            session.save()
        if session.accessed:
            patch_vary_headers(response, VARY)
        if session.response_headers:
            # A cache would repeat the change, possibly in the session of another user.
            patch_cache_control(response, private=True)
            for name, value in session.response_headers.items():
                response[name] = value
        return response

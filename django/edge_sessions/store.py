"""The session of one request, as `request.session`."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from edge_sessions.data import Data, changes, compact, parse
from edge_sessions.unsupported import MADE_AT_LOGIN, MadeAtLogin
from edge_sessions.errors import NoSession, OwnedByTheEdge, SessionUnavailable
from edge_sessions.headers import DATA, KILL, SET, STATUS, TTL, USER, read, read_status
from edge_sessions.limits import must_fit

TOKEN = re.compile("[A-Za-z0-9]{64}")


class SessionStore(MadeAtLogin):
    def __init__(self, session_key: str | None = None, request_headers: Mapping[str, str] | None = None) -> None:
        super().__init__(session_key)
        self._request_headers = request_headers
        # For the response: what `save`, `delete` and `flush` came to.
        self.response_headers: dict[str, str] = {}

    @property
    def request_headers(self) -> Mapping[str, str]:
        if self._request_headers is None:
            raise ImproperlyConfigured(
                "This session belongs to no request. MIDDLEWARE must name edge_sessions.SessionMiddleware in place of "
                "django.contrib.sessions.middleware.SessionMiddleware; in tests, edge_sessions.testing sets sessions."
            )
        return self._request_headers

    @cached_property
    def status(self) -> str:
        """`active`, `none` or `unavailable`; the last of a request of which nobody knows whether it has a session."""
        self.accessed = True
        return read_status(self.request_headers)

    @property
    def user(self) -> str | None:
        """The id of the user whose session this is; without an active session, none."""
        return unquote(read(self.request_headers, USER), errors="strict") if self.status == "active" else None

    @property
    def session_key(self) -> str | None:
        """The token, as the cookie has it; without an active session, none."""
        if self.status != "active":
            return None
        # None would be everybody's key.
        if self._session_key is None or not TOKEN.fullmatch(self._session_key):
            raise OwnedByTheEdge(
                f"request.session.session_key: the token did not arrive as the cookie {settings.SESSION_COOKIE_NAME}; "
                "the filter's `token_from` names others, or its `forward_token` is false. request.session.user says "
                "whose session it is."
            )
        return self._session_key

    @cached_property
    def _before(self) -> dict[str, Any]:
        return parse(read(self.request_headers, DATA)) if self.status == "active" else {}

    # Where the base class looks first. It would load nothing without a key, and the key may be kept from a service.
    @cached_property
    def _session_cache(self) -> Data:
        return self.load()

    def load(self) -> Data:
        return Data(self._before, self._may_set)

    async def aload(self) -> Data:
        return self.load()

    def _may_set(self, where: str) -> None:
        self._must_be_known(where)
        if KILL in self.response_headers:
            raise NoSession(f"{where} cannot be set: this very request has ended its session, and {MADE_AT_LOGIN}.")
        if self.status == "none":
            raise NoSession(
                f"{where} cannot be set: the request has no session ({STATUS}: none), and {MADE_AT_LOGIN}. Look at "
                "request.session.status first, or let the rule of this path say `session: required`."
            )

    def _must_be_known(self, what: str) -> None:
        if self.status == "unavailable":
            raise SessionUnavailable(
                f"{what} cannot be changed: the session filter could not tell whether there is a session ({STATUS}: "
                "unavailable). Look at request.session.status first, and answer 503."
            )

    def save(self, must_create: bool = False) -> None:
        """Hands what has changed to the response; the filter saves it before the client gets that."""
        if must_create:
            self.create()
        if changed := changes(self._before, self._session_cache):
            must_fit(changed, self._session_cache, self.request_headers)
            self.response_headers[SET] = compact(changed)
        else:
            self.response_headers.pop(SET, None)

    async def asave(self, must_create: bool = False) -> None:
        self.save(must_create)

    def clear(self) -> None:
        """Removes every key; the session lives on."""
        self._session_cache.clear()
        self.modified = True

    def delete(self, session_key: str | None = None) -> None:
        """Ends the session, here and for all services, and has the filter take its cookie."""
        if session_key not in (None, self._session_key):
            raise OwnedByTheEdge("request.session.delete(…): a request ends its own session, and no other.")
        self._must_be_known("request.session")
        if self.status == "active":
            self.response_headers = {KILL: "1"}
        self.status, self._before = "none", {}
        self._session_cache = self.load()

    async def adelete(self, session_key: str | None = None) -> None:
        self.delete(session_key)

    def exists(self, session_key: str | None) -> bool:
        """Of this request's own session alone; of others no request learns anything."""
        if session_key is None or session_key == self._session_key:
            return session_key is not None and self.status == "active"
        raise OwnedByTheEdge("request.session.exists(…): a request knows of its own session, and of no other.")

    async def aexists(self, session_key: str | None) -> bool:
        return self.exists(session_key)

    def is_empty(self) -> bool:
        """Whether there is no session; one without data is there."""
        return self.status != "active"

    def get_session_cookie_age(self) -> int:
        """What `get_expiry_age` and `get_expiry_date` come from: the idle seconds that the session survives."""
        return int(read(self.request_headers, TTL)) if self.status == "active" else 0

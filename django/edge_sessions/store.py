"""The session engine: the session of one request, `request.session`."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from edge_sessions.cookie import TOKEN
from edge_sessions.data import SessionData, changes, compact, parse
from edge_sessions.errors import NoSession, OwnedByTheEdge, SessionUnavailable
from edge_sessions.headers import DATA, KILL, SET, STATUS, TTL, USER, read, read_status
from edge_sessions.limits import check_size
from edge_sessions.unsupported import CREATED_AT_LOGIN, ExternallyManagedSession


class SessionStore(ExternallyManagedSession):
    """Reads the session from the request's headers, and collects the headers of the response that change it."""

    def __init__(self, session_key: str | None = None, request_headers: Mapping[str, str] | None = None) -> None:
        super().__init__(session_key)
        self._request_headers = request_headers
        # What `save`, `delete` and `flush` add to the response.
        self.response_headers: dict[str, str] = {}

    @property
    def request_headers(self) -> Mapping[str, str]:
        if self._request_headers is None:
            raise ImproperlyConfigured(
                "This session has no request. MIDDLEWARE must name edge_sessions.SessionMiddleware in place of "
                "django.contrib.sessions.middleware.SessionMiddleware; in tests, edge_sessions.testing sets sessions."
            )
        return self._request_headers

    @cached_property
    def status(self) -> str:
        """`active`, `none`, or `unavailable` if the filter could not look the session up."""
        self.accessed = True
        return read_status(self.request_headers)

    @property
    def user(self) -> str | None:
        """The id of the session's user; None without an active session."""
        return unquote(read(self.request_headers, USER), errors="strict") if self.status == "active" else None

    @property
    def session_key(self) -> str | None:
        """The token, from the cookie. None without an active session; raises `OwnedByTheEdge` if the Cookie header does
        not tell the token."""
        if self.status != "active":
            return None
        # Code that uses None as a key would mix up the sessions of all users.
        if self._session_key is None or not TOKEN.fullmatch(self._session_key):
            raise OwnedByTheEdge(
                f"request.session.session_key: the request has no cookie {settings.SESSION_COOKIE_NAME} with a token, "
                "or several with different ones. The filter's `token_from` may name other sources, or its "
                "`forward_token` is false. request.session.user is the id of the user."
            )
        return self._session_key

    @cached_property
    def _before(self) -> dict[str, Any]:
        return parse(read(self.request_headers, DATA)) if self.status == "active" else {}

    # The base class loads nothing without a key, and the filter may not forward the key.
    @cached_property
    def _session_cache(self) -> SessionData:
        return self.load()

    def load(self) -> SessionData:
        return SessionData(self._before, self._may_set)

    async def aload(self) -> SessionData:
        return self.load()

    def _may_set(self, where: str) -> None:
        self._must_be_known(where)
        if KILL in self.response_headers:
            raise NoSession(
                f"{where} cannot be set: this request has already ended its session, and {CREATED_AT_LOGIN}."
            )
        if self.status == "none":
            raise NoSession(
                f"{where} cannot be set: the request has no session ({STATUS}: none), and {CREATED_AT_LOGIN}. Check "
                "request.session.status first, or set `session: required` in the rule of this path."
            )

    def _must_be_known(self, what: str) -> None:
        if self.status == "unavailable":
            raise SessionUnavailable(
                f"{what} cannot be changed: the session filter could not look the session up ({STATUS}: "
                "unavailable). Check request.session.status first, and answer 503."
            )

    def save(self, must_create: bool = False) -> None:
        """Writes the changes to the response. The filter saves them before the client gets it."""
        if must_create:
            self.create()
        if changed := changes(self._before, self._session_cache):
            check_size(changed, self._session_cache, self.request_headers)
            self.response_headers[SET] = compact(changed)
        else:
            self.response_headers.pop(SET, None)

    async def asave(self, must_create: bool = False) -> None:
        self.save(must_create)

    def clear(self) -> None:
        """Deletes every key and keeps the session."""
        self._session_cache.clear()
        self.modified = True

    def delete(self, session_key: str | None = None) -> None:
        """Ends the session for all services; the filter deletes its cookie. Does nothing without a session."""
        if session_key not in (None, self._session_key):
            raise OwnedByTheEdge("request.session.delete(…): a request can only end its own session.")
        self._must_be_known("request.session")
        if self.status == "active":
            self.response_headers = {KILL: "1"}
        self.status, self._before = "none", {}
        self._session_cache = self.load()

    async def adelete(self, session_key: str | None = None) -> None:
        self.delete(session_key)

    def exists(self, session_key: str | None) -> bool:
        """Whether the request's own session is active. Raises `OwnedByTheEdge` for any other key."""
        if session_key is None or session_key == self._session_key:
            return session_key is not None and self.status == "active"
        raise OwnedByTheEdge("request.session.exists(…): a request knows its own session only.")

    async def aexists(self, session_key: str | None) -> bool:
        return self.exists(session_key)

    def is_empty(self) -> bool:
        """Whether there is no active session. A session without data is not empty."""
        return self.status != "active"

    def get_session_cookie_age(self) -> int:
        """The idle time, in seconds, after which the session expires. Django derives `get_expiry_age` and
        `get_expiry_date` from it."""
        return int(read(self.request_headers, TTL)) if self.status == "active" else 0

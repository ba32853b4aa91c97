"""Django's sessions, kept by the session filter in Envoy: read from the request's headers, changed by the response's.

    SESSION_ENGINE = "edge_sessions"
    MIDDLEWARE = ["edge_sessions.SessionMiddleware", ...]  # in place of Django's own

The filter has looked the session up before the request arrives, and nobody but the filter can have set its headers. So
nothing here asks anybody: `request.session` is `x-session-data`, and what a view changes in it leaves with the
response, as `x-session-set` (the changed keys alone, with `null` for each deleted one) or `x-session-kill`. The filter
takes both out again, and the client waits for what they do.

Sessions are made at login, by the service that knows the users. Whatever would make one here, or decide how long one
lives, raises `OwnedByTheEdge`.
"""

from edge_sessions.errors import NoSession, OwnedByTheEdge, SessionUnavailable
from edge_sessions.middleware import SessionMiddleware
from edge_sessions.store import SessionStore

__all__ = ["NoSession", "OwnedByTheEdge", "SessionMiddleware", "SessionStore", "SessionUnavailable"]

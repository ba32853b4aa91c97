"""A Django session engine for services behind Envoy's session filter.

    SESSION_ENGINE = "edge_sessions"
    MIDDLEWARE = ["edge_sessions.SessionMiddleware", ...]  # in place of Django's own

The filter looks the session up before the request arrives, and removes its own headers from what clients send, so this
engine makes no calls:

- It reads `request.session` from the header `x-session-data`.
- It writes the changes of a view to the response: `x-session-set` has the changed keys, with `null` for each deleted
  one, and `x-session-kill` ends the session. The filter applies both before the client gets the response, and removes
  them from it.

Sessions are created at login, by the login service. Methods that would create a session, or set its lifetime, raise
`OwnedByTheEdge`.
"""

from edge_sessions.errors import NoSession, OwnedByTheEdge, SessionUnavailable
from edge_sessions.middleware import SessionMiddleware
from edge_sessions.store import SessionStore

__all__ = ["NoSession", "OwnedByTheEdge", "SessionMiddleware", "SessionStore", "SessionUnavailable"]

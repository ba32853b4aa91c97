"""Errors of `request.session`."""


class NoSession(RuntimeError):
    """The request has no session, so nothing can be set."""


class SessionUnavailable(NoSession):
    """The filter could not look the session up, so nothing can be changed."""


class OwnedByTheEdge(NotImplementedError):
    """A method of Django's sessions that the login service or the filter takes care of."""

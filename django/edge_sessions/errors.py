"""What a service behind the filter cannot do with a session."""


class NoSession(RuntimeError):
    """A change by a request that has no session."""


class SessionUnavailable(NoSession):
    """A change by a request of which the filter could not tell whether it has a session."""


class OwnedByTheEdge(NotImplementedError):
    """What Django's own engines do, and here somebody else."""

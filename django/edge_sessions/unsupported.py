"""Session methods of Django that a service behind the filter cannot offer."""

from collections.abc import Callable
from typing import Any, NoReturn

from django.contrib.sessions.backends.base import SessionBase

from edge_sessions.errors import OwnedByTheEdge

CREATED_AT_LOGIN = "sessions are created at login, by the login service"
KEY_FROM_LOGIN = "a session gets its key at login; to make the user log in again, call request.session.flush()"
LIFETIME_FROM_LOGIN = "the lifetime is set where the session is created (`ttl`) and by `limits` of the filter"
COOKIE_FROM_LOGIN = "the cookie is set at login, and deleted by the filter when the session ends"


def unsupported(name: str, why: str) -> tuple[Callable[..., NoReturn], Callable[..., Any]]:
    """A method and its asynchronous counterpart, which raise `OwnedByTheEdge` with the reason."""

    def refuse(self: SessionBase, *_: object, **__: object) -> NoReturn:
        raise OwnedByTheEdge(f"request.session.{name}(): {why}.")

    async def arefuse(self: SessionBase, *_: object, **__: object) -> NoReturn:
        raise OwnedByTheEdge(f"request.session.a{name}(): {why}.")

    return refuse, arefuse


class ExternallyManagedSession(SessionBase):
    """A session whose creation and lifetime are managed outside the service."""

    @classmethod
    def clear_expired(cls) -> None:
        """Does nothing: rest-sessions removes expired sessions."""

    @classmethod
    async def aclear_expired(cls) -> None:
        pass

    create, acreate = unsupported("create", CREATED_AT_LOGIN)
    cycle_key, acycle_key = unsupported("cycle_key", KEY_FROM_LOGIN)
    set_expiry, aset_expiry = unsupported("set_expiry", LIFETIME_FROM_LOGIN)
    get_expire_at_browser_close, aget_expire_at_browser_close = unsupported(
        "get_expire_at_browser_close", COOKIE_FROM_LOGIN
    )

"""What Django's own engines do, and somebody else does for a service behind the filter."""

from collections.abc import Callable
from typing import Any, NoReturn

from django.contrib.sessions.backends.base import SessionBase

from edge_sessions.errors import OwnedByTheEdge

MADE_AT_LOGIN = "sessions are made at login, by the service that knows the users"
KEY_FROM_LOGIN = "a session gets its key at login; to have the user log in anew, request.session.flush()"
LIFE_FROM_LOGIN = "how long a session lives is said where it is made (`ttl`) and by `limits` of the filter"
COOKIE_FROM_LOGIN = "the cookie is set at login, and taken by the filter when the session ends"


def not_here(name: str, why: str) -> tuple[Callable[..., NoReturn], Callable[..., Any]]:
    """A method, and its asynchronous twin, that say who does it in place of a service."""

    def refuse(self: SessionBase, *_: object, **__: object) -> NoReturn:
        raise OwnedByTheEdge(f"request.session.{name}(): {why}.")

    async def arefuse(self: SessionBase, *_: object, **__: object) -> NoReturn:
        raise OwnedByTheEdge(f"request.session.a{name}(): {why}.")

    return refuse, arefuse


class MadeAtLogin(SessionBase):
    """A session of which a service decides neither the beginning nor the life."""

    @classmethod
    def clear_expired(cls) -> None:
        """rest-sessions does it by itself."""

    @classmethod
    async def aclear_expired(cls) -> None:
        pass

    create, acreate = not_here("create", MADE_AT_LOGIN)
    cycle_key, acycle_key = not_here("cycle_key", KEY_FROM_LOGIN)
    set_expiry, aset_expiry = not_here("set_expiry", LIFE_FROM_LOGIN)
    get_expire_at_browser_close, aget_expire_at_browser_close = not_here(
        "get_expire_at_browser_close", COOKIE_FROM_LOGIN
    )

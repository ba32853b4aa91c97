"""The data of a session: what it may hold, and what has changed."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from edge_sessions.headers import DATA


class SessionData(dict[str, Any]):
    """Strings, numbers and booleans by key. Setting a value that rest-sessions cannot store raises.

    `may_set` is called before each change, with the item's name for errors; it raises if the session cannot be changed.
    """

    def __init__(self, held: Mapping[str, Any], may_set: Callable[[str], None]) -> None:
        super().__init__(held)
        self.may_set = may_set

    def __setitem__(self, key: str, value: Any) -> None:
        where = f"request.session[{key!r}]"
        self.may_set(where)
        check(where, key, value)
        super().__setitem__(key, value)

    def update(self, *more: Any, **named: Any) -> None:
        for key, value in dict(*more, **named).items():
            self[key] = value


def check(where: str, key: object, value: object) -> None:
    """Raises `TypeError` or `ValueError` if rest-sessions cannot store the item. `where` names it in the error."""
    if not isinstance(key, str):
        raise TypeError(f"{where}: found a key of type {type(key).__name__}, expected str")
    if not isinstance(value, str | int | float):
        hint = f"del {where} removes the key" if value is None else "store each value under its own key"
        found = f"{where}: found a value of type {type(value).__name__}"
        raise TypeError(
            f"{found}, expected str, int, float or bool, since rest-sessions stores no nested values; {hint}"
        )
    try:
        json.dumps([key, value], ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise ValueError(f"{where}: found a value that JSON in UTF-8 cannot represent: {error}") from None


def compact(value: object) -> str:
    """JSON in ASCII without spaces, as the filter reads and writes it in headers."""
    return json.dumps(value, separators=(",", ":"))


def parse(text: str) -> dict[str, Any]:
    """The session data of a header. Raises `ImproperlyConfigured` if it is not a JSON object."""
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if isinstance(data, dict):
        return data
    # The error does not show the text, which may be personal data.
    raise ImproperlyConfigured(f"{DATA} is not a JSON object; Envoy's session filter writes one for the field `d`.")


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The changed items, with None for each deleted key, as rest-sessions merges them."""
    # Compared as JSON, in which 1, 1.0 and true differ.
    changed = {key: value for key, value in now.items() if key not in before or compact(before[key]) != compact(value)}
    return changed | {key: None for key in before if key not in now}

"""What a session holds, and what has become of it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from edge_sessions.headers import DATA


class Data(dict[str, Any]):
    """Strings, numbers and booleans by their names. What rest-sessions would not keep is refused where it is set."""

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
    if not isinstance(key, str):
        raise TypeError(f"{where}: found a key of type {type(key).__name__}, expected str")
    if not isinstance(value, str | int | float):
        hint = f"del {where} removes the key" if value is None else "give each value a key of its own"
        found = f"{where}: found a value of type {type(value).__name__}"
        raise TypeError(f"{found}, expected str, int, float or bool, since rest-sessions nests nothing; {hint}")
    try:
        json.dumps([key, value], ensure_ascii=False, allow_nan=False).encode()
    except ValueError as problem:
        raise ValueError(f"{where}: found what JSON in UTF-8 cannot hold: {problem}") from None


def compact(value: object) -> str:
    """As the filter writes and reads it: JSON in ASCII, so that it can stand in a header."""
    return json.dumps(value, separators=(",", ":"))


def parse(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if isinstance(data, dict):
        return data
    # Not what was found: it may be somebody's data.
    raise ImproperlyConfigured(f"{DATA} is no JSON object; Envoy's session filter writes one there for the field `d`.")


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What turns the one into the other at rest-sessions, which merges and takes a key out for `null`."""
    # As JSON, where 1, 1.0 and true differ.
    changed = {key: value for key, value in now.items() if key not in before or compact(before[key]) != compact(value)}
    return changed | {key: None for key in before if key not in now}

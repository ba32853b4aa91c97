"""The filter's limits on the size of changes and sessions, in bytes."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from edge_sessions.data import compact
from edge_sessions.headers import SET, STATUS, TTL, USER

# The filter ignores a larger change.
MAX_SET_BYTES = 60_000
# The default of `annotate.max_bytes` of the filter, and of the setting EDGE_SESSIONS_MAX_BYTES.
DEFAULT_MAX_BYTES = 6144


def check_size(changed: Mapping[str, Any], data: Mapping[str, Any], request_headers: Mapping[str, str]) -> None:
    """Raises `ValueError` if the filter would ignore the change, or reject later requests with so large a session."""
    largest = max(changed, key=lambda key: len(compact(changed[key])))
    advice = f"The largest change is request.session[{largest!r}]; store large values elsewhere, and their keys here."
    if (size := len(compact(changed))) > MAX_SET_BYTES:
        raise ValueError(f"{SET} would have {size} bytes, expected at most {MAX_SET_BYTES}. {advice}")
    size = len(compact(data))
    size += sum(len(request_headers.get(name, "")) for name in (STATUS, USER, TTL))
    limit = getattr(settings, "EDGE_SESSIONS_MAX_BYTES", DEFAULT_MAX_BYTES)
    # A change that only deletes keys makes the session smaller.
    if size > limit and any(value is not None for value in changed.values()):
        raise ValueError(
            f"The session would take {size} bytes of headers, expected at most {limit}: the filter's "
            f"`annotate.max_bytes`, for which EDGE_SESSIONS_MAX_BYTES stands in Django's settings. {advice}"
        )

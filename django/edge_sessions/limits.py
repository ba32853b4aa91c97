"""How much the filter takes, and passes on."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from edge_sessions.data import compact
from edge_sessions.headers import SET, STATUS, TTL, USER

# More in one header is dropped by the filter.
MOST_SET_BYTES = 60_000
# `annotate.max_bytes` of the filter, where the setting EDGE_SESSIONS_MAX_BYTES does not say otherwise.
MOST_BYTES = 6144


def must_fit(changed: Mapping[str, Any], data: Mapping[str, Any], request_headers: Mapping[str, str]) -> None:
    """The filter drops a change that is too large, and refuses every later request of a session that is."""
    largest = max(changed, key=lambda key: len(compact(changed[key])))
    advice = f"The largest change is request.session[{largest!r}]; keep large values elsewhere, and their names here."
    if (size := len(compact(changed))) > MOST_SET_BYTES:
        raise ValueError(f"{SET} would have {size} bytes, expected at most {MOST_SET_BYTES}. {advice}")
    size = len(compact(data))
    size += sum(len(request_headers.get(name, "")) for name in (STATUS, USER, TTL))
    most = getattr(settings, "EDGE_SESSIONS_MAX_BYTES", MOST_BYTES)
    # What only takes keys out makes it smaller.
    if size > most and any(value is not None for value in changed.values()):
        raise ValueError(
            f"The session would take {size} bytes of headers, expected at most {most}: the filter's "
            f"`annotate.max_bytes`, which EDGE_SESSIONS_MAX_BYTES repeats in Django's settings. {advice}"
        )

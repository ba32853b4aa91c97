"""The headers that the filter and a service speak in."""

from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

# As in `annotate.headers` of the filter's configuration. TTL is asked for by `get_expiry_age()` alone.
STATUS = "x-session-status"
USER = "x-session-user"
DATA = "x-session-data"
TTL = "x-session-ttl"

# As in its `write_back`.
SET = "x-session-set"
KILL = "x-session-kill"

FIELDS = {STATUS: "status", USER: "id", DATA: "d", TTL: "ttl"}


def read_status(headers: Mapping[str, str]) -> str:
    """`active`; `none`; or `unavailable`: rest-sessions was away, or the session too large to pass on."""
    status = headers.get(STATUS)
    if status in ("active", "none", "unavailable"):
        return status
    found = f"The request came without {STATUS}" if status is None else f"{STATUS} of the request is {status!r}"
    raise ImproperlyConfigured(
        f"{found}; Envoy's session filter sets it to active, none or unavailable. Ask Envoy in place of this service; "
        "see that the rule of this path says `session: required` or `optional` and is not in shadow; and that the "
        f'`annotate.headers` of the filter have "{STATUS}": "status".'
    )


def read(headers: Mapping[str, str], name: str) -> str:
    """A header of a request with an active session."""
    try:
        return headers[name]
    except KeyError:
        raise ImproperlyConfigured(
            f"The request has an active session, but came without {name}; the `annotate.headers` of Envoy's session "
            f'filter must have "{name}": "{FIELDS[name]}".'
        ) from None

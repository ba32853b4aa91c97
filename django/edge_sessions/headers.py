"""The headers between the filter and a service."""

from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

# In requests, named in `annotate.headers` of the filter's configuration. Only `get_expiry_age()` reads TTL.
STATUS = "x-session-status"
USER = "x-session-user"
DATA = "x-session-data"
TTL = "x-session-ttl"

# In responses, named in `write_back` of the filter's configuration.
SET = "x-session-set"
KILL = "x-session-kill"

# The field of `annotate.headers` that each request header has.
FIELDS = {STATUS: "status", USER: "id", DATA: "d", TTL: "ttl"}


def read_status(headers: Mapping[str, str]) -> str:
    """`active`, `none`, or `unavailable`: rest-sessions did not answer, or the session is too large for headers."""
    status = headers.get(STATUS)
    if status in ("active", "none", "unavailable"):
        return status
    found = f"The request came without {STATUS}" if status is None else f"{STATUS} of the request is {status!r}"
    raise ImproperlyConfigured(
        f"{found}; Envoy's session filter sets it to active, none or unavailable. Send requests to Envoy and not to "
        "this service; check that the rule of this path has `session: required` or `optional` and is not in shadow "
        f'mode, and that the `annotate.headers` of the filter have "{STATUS}": "status".'
    )


def read(headers: Mapping[str, str], name: str) -> str:
    """A header that a request with an active session must have."""
    try:
        return headers[name]
    except KeyError:
        raise ImproperlyConfigured(
            f"The request has an active session, but came without {name}; the `annotate.headers` of Envoy's session "
            f'filter must have "{name}": "{FIELDS[name]}".'
        ) from None

"""The token of a request, read from its Cookie header as the filter reads it.

Django's `request.COOKIES` is a different reading: it strips Unicode white space around names, decodes octal escapes in
quoted values, and keeps the last of several cookies of one name. A page of a sibling domain can set cookies for this
one. It could choose the token in `request.COOKIES`, while the filter looks up another one.
"""

import re
import time
from collections.abc import Iterable, Iterator

TOKEN = re.compile("[A-Za-z0-9]{64}")
# The last nine characters of a token of rest-sessions are its creation time, in milliseconds, in base 36.
CREATED = re.compile("Z([0-9a-z]{8})")
# The filter ignores a token that was created more than 24 hours in the future. Its clock and this one may differ.
MAX_AHEAD_SECONDS = 23 * 60 * 60
# WSGI servers and Django's ASGI handler join several Cookie headers with a comma.
JOINED = re.compile("[;,]")
WHITE_SPACE = " \t"


def read_token(header: str, name: str) -> str | None:
    """The token in the cookie of this name. Each character of `header` stands for a byte, as in WSGI (PEP 3333).

    None if there is no token, or if it is unclear which one is that of the session. The filter looks up each of several
    different ones, and its headers do not tell which is active.
    """
    # The filter reads each Cookie header alone. With commas as separators, the value of another cookie can look like a
    # cookie of this name; without, the last cookie of one header hides the first of the next.
    tokens = set(tokens_in(header.split(";"), name))
    if len(tokens) != 1 or tokens != set(tokens_in(JOINED.split(header), name)):
        return None
    (token,) = tokens
    return None if is_too_new(token) else token


def tokens_in(pairs: Iterable[str], name: str) -> Iterator[str]:
    """The values that are tokens. A pair of double quotes around a value is not part of it."""
    name = name.encode().decode("latin-1")
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key.strip(WHITE_SPACE) == name:
            value = value.strip(WHITE_SPACE)
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            if TOKEN.fullmatch(value):
                yield value


def is_too_new(token: str) -> bool:
    created = CREATED.fullmatch(token, 55)
    return created is not None and int(created[1], 36) / 1000 > time.time() + MAX_AHEAD_SECONDS

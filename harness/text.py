"""Finds and compares text in documents, logs and the output of commands."""

import re


def find(pattern: str, text: str) -> str:
    """What the only group of a pattern matches, which must be in the text. `^` and `$` match at every line."""
    match = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    assert match, f"{pattern} is not in:\n{text}"
    return str(match[1])


def matches(expected: str, found: str) -> bool:
    """Whether a text is the expected one, in which `…` stands for anything within a line."""
    pattern = re.escape(expected.strip()).replace("…", ".*")
    return re.fullmatch(pattern, found.replace("\r\n", "\n").strip()) is not None

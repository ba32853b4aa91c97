"""Targets at which some server once served what the filter had let pass. Every server gets them in every round."""

from pathlib import Path

CORPUS = Path(__file__).parent / "regressions.txt"


def regressions() -> list[tuple[bytes, str]]:
    """Each target, and the server with which it was found. In the file, a byte outside ASCII is written as `\\xff`."""
    lines = [line for line in CORPUS.read_text().splitlines() if line and not line.startswith("#")]
    return [(unescaped(target), server) for server, target in (line.split(" ") for line in lines)]


def unescaped(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode("latin-1")

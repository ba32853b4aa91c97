"""README and the pages of docs/, as the tests of this folder read them."""

import re
from dataclasses import dataclass
from pathlib import Path

from harness.paths import ROOT
from harness.text import find


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the text up to the next block."""

    language: str
    text: str
    after: str


class Page:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text()
        parts = re.split(r"^```(\w*)\n(.*?)^```$", self.text, flags=re.MULTILINE | re.DOTALL)
        self.all_blocks = [Block(*parts[start : start + 3]) for start in range(1, len(parts), 3)]

    def blocks(self, language: str) -> list[str]:
        return [block.text for block in self.all_blocks if block.language == language]

    def table(self, heading: str) -> list[str]:
        """The names in the first column of the first table under a heading."""
        section = re.split(rf"^#+ {re.escape(heading)}$", self.text, flags=re.MULTILINE)[1]
        rows = find(r"^\|[^\n]*\n\| ---[^\n]*\n((?:\|[^\n]*\n)+)", section)
        return [name for row in rows.splitlines() for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


PAGES = [Page(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]


# Further pages with commands, beside what they describe.
READMES = [Page(ROOT / folder / "README.md") for folder in ("django", "server", "tests")]


def page(name: str) -> Page:
    return next(page for page in PAGES if page.name == name)


def every_block(language: str) -> list[str]:
    return [text for page in PAGES for text in page.blocks(language)]

"""Every link between the Markdown files of this repository leads to a file, and to a heading in it."""

import os
import re
from pathlib import Path

import pytest

from harness.paths import ROOT

# What is built or installed.
NOT_OURS = {"target", "dist", "node_modules"}


def markdown_files() -> list[Path]:
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name not in NOT_OURS and not name.startswith("."))
        found += [Path(folder, name) for name in sorted(files) if name.endswith(".md")]
    return found


FILES = markdown_files()


def prose(path: Path) -> str:
    """The text without fenced blocks and inline code, in which nothing is a heading or a link."""
    text = re.sub(r"^( *)```.*?^\1```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("](", "] ("), text)


def anchors(path: Path) -> set[str]:
    """The anchors of a file's headings, as GitHub makes them."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number, unique = 0, anchor
        while unique in found:
            number += 1
            unique = f"{anchor}-{number}"
        found.add(unique)
    return found


def links(path: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(path))


def broken(path: Path, link: str) -> bool:
    if link.startswith("https://"):
        return False
    file, _, anchor = link.partition("#")
    target = (path.parent / file).resolve() if file else path
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(anchor) and (target.suffix != ".md" or anchor not in anchors(target))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    assert [link for link in links(path) if broken(path, link)] == []


def test_a_broken_link_would_be_noticed() -> None:
    readme = ROOT / "README.md"
    missing = ("docs/missing.md", "../README.md", "#no-such-heading", "docs/paths.md#no-such-heading")
    for link in (*missing, "http://example.com"):
        assert broken(readme, link), link
    for link in ("docs/paths.md", "#security", "docs/paths.md#methods", "docs", "https://example.com"):
        assert not broken(readme, link), link


def test_every_page_can_be_reached_from_readme() -> None:
    reached: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        path = left.pop()
        reached.add(path)
        for link in links(path):
            target = (path.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_file() and target not in reached:
                left.append(target)
    assert set(FILES) <= reached

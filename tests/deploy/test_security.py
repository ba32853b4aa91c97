"""SECURITY.md: each class of advisories has tests, and each test that the page names exists."""

import re

import pytest

from harness.paths import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
_, TABLE = PAGE.split("| class, with an example | rule | tests |\n| --- | --- | --- |\n")
CLASSES = [row.strip("| ").split(" | ") for row in TABLE.strip().splitlines()]


def references() -> list[tuple[str, str]]:
    """Each file that the page names with each test in it; the name is empty where the whole file is meant."""
    found = []
    for *_, cell in CLASSES:
        for part in cell.split("; "):
            file, *names = re.findall(r"`([^`]+)`", part)
            found += [(file, name) for name in names or [""]]
    return found


@pytest.mark.parametrize("row", CLASSES, ids=lambda row: row[0][:40])
def test_each_class_has_a_rule_and_tests(row: list[str]) -> None:
    assert len(row) == 3
    assert re.match(r"`[\w/]+\.(rs|py)`", row[2])


@pytest.mark.parametrize(("file", "name"), references())
def test_each_named_test_exists(file: str, name: str) -> None:
    path = ROOT / file
    assert path.is_file()
    text = path.read_text()
    assert re.search(rf"\b(fn|def) {re.escape(name)}" + (r"\b" if name else r"\w"), text)
    assert "#[test]" in text or "proptest!" in text or "def test_" in text or "#[tokio::test" in text


def test_vulnerabilities_are_reported_privately_and_to_no_invented_address() -> None:
    assert "Report a vulnerability" in PAGE
    assert "@" not in PAGE

"""Files of results, and the pages that show figures of them."""

import json
import os
import platform
import subprocess
import time
from pathlib import Path

from bench.rounds import Row
from harness.paths import ROOT
from harness.text import find

README = ROOT / "README.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
GUIDE = ROOT / "docs" / "from-django-rest-sessions.md"
# The heads of what `metrics` returns.
METRICS = ("CPU µs", "requests/s", "p50 ms", "p99 ms")
END = "<!-- end of figures -->\n"


def when_and_where(note: str) -> Row:
    """What every file of results begins with."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "note": note,
        "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "kernel": platform.release()},
    }


def cpu_model() -> str:
    return find(r"^model name\s*: ([^\n]*)$", Path("/proc/cpuinfo").read_text())


def tool_version(tool: object) -> str:
    """The version that `--version` prints."""
    shown = subprocess.run([str(tool), "--version"], capture_output=True, text=True, check=True).stdout
    return find(r"(\d+\.\d+\.\d+)", shown)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in plain text: the first column is aligned to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, *rows]:
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def metrics(row: Row) -> list[str]:
    return [f"{row['cpu_us']:.1f}", f"{row['rps']:.0f}", f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}"]


def rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def write(path: Path, results: Row, pages: dict[Path, str]) -> None:
    """Writes the results to a file, and their figures into the pages that show them."""
    path.write_text(json.dumps(results, indent=2) + "\n")
    for page, figures in pages.items():
        before, rest = page.read_text().split(begin(path))
        _, after = rest.split(END, 1)
        page.write_text(before + shown(path, figures) + after)


def shown(path: Path, figures: str) -> str:
    """The part of a page that has figures of a file."""
    return begin(path) + figures + END


def begin(path: Path) -> str:
    return f"<!-- figures of {path.relative_to(ROOT)} -->\n"

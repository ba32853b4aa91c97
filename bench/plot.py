"""Draws bench/results.svg for README and docs/performance.md, legible on light and on dark pages."""

import io
import re
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"
# The same figures give the same file.
matplotlib.rcParams["svg.hashsalt"] = "bench"

from matplotlib import pyplot  # noqa: E402

from bench.filters import FOLDER  # noqa: E402
from bench.measure import DJANGO  # noqa: E402
from bench.rounds import Row  # noqa: E402

PLOT = FOLDER / "results.svg"
TEXT, LINE, OURS, OTHERS = "#1f2328", "#d0d7de", "#0969da", "#8c959f"
ON_DARK = {TEXT: "#e6edf3", LINE: "#30363d", OURS: "#58a6ff", OTHERS: "#6e7681"}


def draw(results: Row, path: Path = PLOT) -> None:
    # django-rest-sessions is left out: its CPU is so high that the bars of the others would look the same.
    rows = [row for row in results["scenarios"] if row["key"] != DJANGO][::-1]
    ratios = [row["to_no_op"]["cpu_us"] for row in rows]
    colours = [OURS if row["name"].startswith("ours") else OTHERS for row in rows]

    figure, axes = pyplot.subplots(figsize=(8.8, 0.4 * len(rows) + 1.2))
    bars = axes.barh([row["name"].replace("`", "") for row in rows], ratios, color=colours, height=0.66)
    axes.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=4, color=TEXT)
    axes.axvline(1, color=TEXT, linewidth=0.8, linestyle=":")
    axes.set_xlabel("Envoy's CPU per request, the SDK's no-op filter = 1", color=TEXT)
    axes.set_xlim(0, max(ratios) * 1.12)
    axes.tick_params(colors=TEXT, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    machine = f"{results['machine']['cpu']}, {results['machine']['cores']} cores, Envoy {results['versions']['envoy']}"
    figure.text(0.99, 0.01, f"{machine}, {results['date']}", color=TEXT, ha="right", va="bottom", fontsize=7)

    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    path.write_text(for_dark_pages(re.sub(r"[ \t]+$", "", text.getvalue(), flags=re.MULTILINE)))


def for_dark_pages(svg: str) -> str:
    """Adds a style sheet for dark pages. It finds each shape by the colour in its `style` attribute."""
    rules = "".join(
        f'[style*="{kind}: {light}"] {{ {kind}: {dark} !important }} '
        for light, dark in ON_DARK.items()
        for kind in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark) {{ {rules}}}</style>"
    return re.sub(r"(<svg [^>]*>)", lambda head: head[1] + "\n " + style, svg, count=1)

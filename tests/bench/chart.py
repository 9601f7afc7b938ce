"""Draws how far each budget was reached, as an SVG for README: one bar a measure, and a line where the budget is."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from tests.bench.figures import Figure

WIDTH, LABEL, ROW, TOP = 860, 270, 26, 34  # pixels; LABEL: of the names at the left
ORDER = (
    "accept",
    "dispatch",
    "receipts",
    "callbacks",
    "whole",
    "memory",
    "idle",
)  # the way of a message; then the rest
FULL = 2.0  # times its budget at the right end; a longer bar is cut off there
LINE = (WIDTH - LABEL - 190) / FULL  # pixels of one budget
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .small { fill: #57606a; font-size: 12px }
.met { fill: #2da44e } .missed { fill: #bf8700 } .budget { stroke: #57606a; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } .budget { stroke: #9198a1 } }
"""


def draw(figures: Sequence[Figure], path: Path) -> None:
    figures = sorted(figures, key=lambda one: ORDER.index(one.name.split(" ")[0].strip(",")))
    height = TOP + ROW * len(figures) + 10
    budget = LABEL + LINE
    rows = "\n".join(_row(one, TOP + ROW * place) for place, one in enumerate(figures))
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img">\n<title>How far each budget of make bench was reached</title>\n<style>{STYLE}</style>\n'
        f'<text class="small" x="{budget:.0f}" y="20" text-anchor="middle">budget</text>\n{rows}\n'
        f'<line class="budget" x1="{budget:.0f}" x2="{budget:.0f}" y1="26" y2="{height - 6}"/>\n</svg>\n'
    )


def _row(one: Figure, y: int) -> str:
    long = min(one.reached, FULL) * LINE
    number = f"{one.value:,.0f}" if one.value >= 10 else f"{one.value:,.1f}"
    told = f"{number} {one.unit}" + (f", {one.ratio:.2f} × control" if one.ratio is not None else "")
    kind = "met" if one.met else "missed"
    return (
        f'<text x="{LABEL - 10}" y="{y + 16}" text-anchor="end">{escape(one.name)}</text>'
        f'<rect class="{kind}" x="{LABEL}" y="{y + 4}" width="{max(long, 1):.0f}" height="{ROW - 9}" rx="2"/>'
        f'<text class="small" x="{LABEL + max(long, 1) + 8:.0f}" y="{y + 16}">{escape(told)}</text>'
    )

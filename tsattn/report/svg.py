"""Figures as inline SVG whose colours follow the page, light or dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from io import StringIO

import matplotlib as mpl
from matplotlib.figure import Figure

from tsattn.report.plots import ACCENT, GRID, INK, MUTED, Interval, interval_colors, interval_strengths

_VARIABLES = {INK: "--chart-ink", ACCENT: "--chart-accent", MUTED: "--chart-muted", GRID: "--chart-grid"}
"""Colours of the plots and the variables of the style sheet."""


def to_svg(
    draw: Callable[[Figure], None], size: tuple[float, float], alt: str, id: str, intervals: Sequence[Interval] = ()
) -> str:
    """Return a figure as an SVG element.

    Args:
        draw: Draws into an empty figure.
        size: Width and height in inches; the text has its size at 72 pixels an inch.
        alt: Description.
        id: Prefix of the ids within the element, unique on the page.
        intervals: Drawn intervals, whose tints become translucent.
    """
    figure, target = Figure(figsize=size, layout="constrained"), StringIO()
    draw(figure)
    # Text stays text. The salt makes ids unique on the page and equal in equal reports.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": id}):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for color, strength in zip(interval_colors(intervals), interval_strengths(intervals), strict=True):
        text = text.replace(f"fill: {color}", f"fill: {ACCENT}; fill-opacity: {strength:.2f}")
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    return f'<svg class="chart" {box[0]} role="img" aria-label="{escape(alt)}">{rest}'.strip()

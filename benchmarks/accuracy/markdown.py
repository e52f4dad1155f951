"""Figures and tables as Markdown that is readable as plain text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One cell of a table: text, or one figure per metric.

    Args:
        texts: The figures as displayed.
        values: The figures as numbers, lower is better; empty if they are not compared with other rows.
        suffix: Text after the figures.
    """

    texts: tuple[str, ...] = ("",)
    values: tuple[float, ...] = ()
    suffix: str = ""


EMPTY = Cell()

Figures = Sequence[Sequence[float]]


def text_cell(words: str) -> Cell:
    """Return a cell of text."""
    return Cell((words,))


def parse_cell(cell: str | None) -> Cell:
    """Return a cell from figures as displayed, separated by slashes."""
    if cell is None:
        return EMPTY
    parts = tuple(cell.split("/"))
    return Cell(parts, tuple(float(part) for part in parts))


def figures_cell(figures: Figures, reference: Figures | None = None) -> Cell:
    """Return a cell of measured figures, the mean ± the standard deviation over the seeds.

    Args:
        figures: [metrics][seeds].
        reference: Figures of the reference; the differences from their means follow in brackets.
    """
    means = [statistics.fmean(values) for values in figures]
    spreads = [f"±{format_figure(statistics.stdev(values))}" if len(values) > 1 else "" for values in figures]
    texts = tuple(format_figure(mean) + spread for mean, spread in zip(means, spreads, strict=True))
    if reference is None:
        return Cell(texts, tuple(means))
    differences = [
        format_figure(mean - statistics.fmean(other), sign=True) for mean, other in zip(means, reference, strict=True)
    ]
    return Cell(texts, tuple(means), f" ({'/'.join(differences)})")


def format_figure(value: float, *, sign: bool = False) -> str:
    """Return a number with three decimals, without the zero before the point."""
    rounded = f"{value:+.3f}" if sign else f"{value:.3f}"
    return rounded.replace("0.", ".", 1) if abs(float(rounded)) < 1 else rounded


def text_table(headers: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table of plain values."""
    return format_table(headers, [[text_cell(str(value)) for value in row] for row in rows])


def format_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table with aligned columns; the best figure of each metric in each column is bold."""
    best = [_best([row[column] for row in rows]) for column in range(len(headers))]
    lines = [[_format_cell(cell, of) for cell, of in zip(row, best, strict=True)] for row in rows]
    widths = [max(len(line[column]) for line in [list(headers), *lines]) for column in range(len(headers))]

    def join(line: Sequence[str]) -> str:
        padded = [
            words.ljust(width) if not at else words.rjust(width)
            for at, (words, width) in enumerate(zip(line, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (width - bool(at))}{':' if at else ''}" for at, width in enumerate(widths)]
    return "\n".join(join(line) for line in [headers, rule, *lines]) + "\n"


def _best(cells: Sequence[Cell]) -> tuple[float, ...]:
    """Return the lowest displayed value of each metric; empty if there is nothing to compare."""
    compared = [cell.values for cell in cells if cell.values]
    if len(compared) < 2:
        return ()
    metrics = range(max(map(len, compared)))
    return tuple(min(round(values[at], 3) for values in compared if at < len(values)) for at in metrics)


def _format_cell(cell: Cell, best: Sequence[float]) -> str:
    parts = [
        f"**{words}**" if at < min(len(best), len(cell.values)) and _is_equal(cell.values[at], best[at]) else words
        for at, words in enumerate(cell.texts)
    ]
    return "/".join(parts) + cell.suffix


def _is_equal(value: float, best: float) -> bool:
    return math.isclose(round(value, 3), best, abs_tol=1e-9)

"""Figures and tables as Markdown that reads as plain text too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table: one figure a metric, or some text.

    Args:
        texts: the figures as printed.
        values: the same as numbers, the lower the better; none where they take no part in the comparison.
        after: what follows them.
    """

    texts: tuple[str, ...] = ("",)
    values: tuple[float, ...] = ()
    after: str = ""


EMPTY = Cell()


def text(words: str) -> Cell:
    """Return a cell of text."""
    return Cell((words,))


def printed(cell: str | None) -> Cell:
    """Return a cell of figures as they are printed, divided by strokes."""
    if cell is None:
        return EMPTY
    parts = tuple(cell.split("/"))
    return Cell(parts, tuple(float(part) for part in parts))


def measured(means: Sequence[float], spreads: Sequence[float | None], reference: Sequence[float] | None = None) -> Cell:
    """Return a cell of figures of ours.

    Args:
        means: a figure a metric.
        spreads: their standard deviations; None where there is one seed.
        reference: figures that the differences, in brackets, are taken to.
    """
    pairs = zip(means, spreads, strict=True)
    texts = tuple(short(mean) + ("" if spread is None else f"±{short(spread)}") for mean, spread in pairs)
    differences = [short(mean - other, sign=True) for mean, other in zip(means, reference or (), strict=False)]
    return Cell(texts, tuple(means), f" ({'/'.join(differences)})" if differences else "")


def short(value: float, *, sign: bool = False) -> str:
    """Return a number with three decimals and no zero before the point."""
    rounded = f"{value:+.3f}" if sign else f"{value:.3f}"
    return rounded.replace("0.", ".", 1) if abs(float(rounded)) < 1 else rounded


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table, its columns aligned and the best figure of each metric in each column bold."""
    best = [_best([row[column] for row in rows]) for column in range(len(headers))]
    lines = [[_bold(cell, of) for cell, of in zip(row, best, strict=True)] for row in rows]
    widths = [max(len(line[column]) for line in [list(headers), *lines]) for column in range(len(headers))]

    def joined(line: Sequence[str]) -> str:
        padded = [
            words.ljust(width) if not at else words.rjust(width)
            for at, (words, width) in enumerate(zip(line, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (width - bool(at))}{':' if at else ''}" for at, width in enumerate(widths)]
    return "\n".join(joined(line) for line in [headers, rule, *lines]) + "\n"


def _best(cells: Sequence[Cell]) -> tuple[float, ...]:
    """Return the lowest value of each metric as printed; none where there is nothing to compare."""
    compared = [cell.values for cell in cells if cell.values]
    if len(compared) < 2:
        return ()
    metrics = range(max(map(len, compared)))
    return tuple(min(round(values[at], 3) for values in compared if at < len(values)) for at in metrics)


def _bold(cell: Cell, best: Sequence[float]) -> str:
    parts = [
        f"**{words}**" if at < min(len(best), len(cell.values)) and _same(cell.values[at], best[at]) else words
        for at, words in enumerate(cell.texts)
    ]
    return "/".join(parts) + cell.after


def _same(value: float, best: float) -> bool:
    return math.isclose(round(value, 3), best, abs_tol=1e-9)

"""Tables and text at any width of the terminal: lines break between words only, and nothing is cut.

A table that does not fit is a list of its rows, each with its cells below its first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

GAP = "   "
"""Between two columns."""

INDENT = "  "

GLUE = "\xa0"
"""A space at which `wrap` does not break a line."""

MIN_TEXT = 16
"""Minimum width of a column whose cells are wrapped."""


def wrap(text: str, width: int, indent: str | None = None) -> list[str]:
    """Return the lines of a text, none longer than a width unless a single word is.

    Args:
        text: The text; its line breaks remain.
        width: Width in cells of the terminal, of which a Chinese character takes two.
        indent: Begins the continuation of a line; by default what the line itself begins with.
    """
    lines = []
    for paragraph in text.split("\n"):
        own = paragraph[: len(paragraph) - len(paragraph.lstrip(" "))]
        line, start = own, True
        for word in filter(None, paragraph.split(" ")):
            if not start and cell_len(line) + 1 + cell_len(word) > width:
                lines.append(line)
                line, start = own if indent is None else indent, True
            line += word if start else f" {word}"
            start = False
        lines.append(line)
    return [line.replace(GLUE, " ") for line in lines]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: Its header.
        cells: Its texts.
        kind: "name" and "figure" are not wrapped, and figures are aligned to the right; "text" is wrapped.
        style: Style of the cells.
    """

    title: str
    cells: Sequence[str]
    kind: str = "text"
    style: str = ""

    @property
    def widest(self) -> int:
        """Width without wrapping."""
        return max(cell_len(line) for cell in (self.title, *self.cells) for line in cell.split("\n"))

    @property
    def narrowest(self) -> int:
        """Width of the longest word, or of the whole column if it is not wrapped."""
        if self.kind != "text":
            return self.widest
        longest = max((cell_len(word) for cell in (self.title, *self.cells) for word in cell.split()), default=0)
        return min(self.widest, max(longest, MIN_TEXT))


@dataclass(frozen=True)
class DataTable:
    """A table, which a console prints at its width.

    Args:
        columns: The columns, of equal length.
        title: Lines above the table.
        bold: Rows to highlight.
    """

    columns: Sequence[Column]
    title: str = ""
    bold: frozenset[int] = field(default_factory=frozenset)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        if self.title:
            for line in wrap(self.title, width):
                yield Text(line, style="italic")
        yield Text("")
        widths = self._column_widths(width - len(INDENT))
        yield from self._rows(widths) if widths else self._list(width)
        yield Text("")

    def _column_widths(self, width: int) -> list[int] | None:
        """Return the width of each column, None if the table does not fit."""
        widths = [column.narrowest for column in self.columns]
        wanted = [column.widest - column.narrowest for column in self.columns]
        left = width - len(GAP) * (len(widths) - 1) - sum(widths)
        if left < 0:
            return None
        fraction = min(left / (sum(wanted) or 1), 1.0)
        return [narrow + int(fraction * more) for narrow, more in zip(widths, wanted, strict=True)]

    def _rows(self, widths: Sequence[int]) -> Iterator[Text]:
        head = [Column(column.title, [column.title], column.kind, "bold") for column in self.columns]
        yield from _align(head, 0, widths, "")
        yield Text(f" {'─' * (sum(widths) + len(GAP) * (len(widths) - 1) + 1)}", style="dim")
        for row in range(len(self.columns[0].cells)):
            yield from _align(self.columns, row, widths, "bold" if row in self.bold else "")

    def _list(self, width: int) -> Iterator[Text]:
        first, *others = self.columns
        for row, name in enumerate(first.cells):
            style = "bold" if row in self.bold else ""
            yield Text(f"{INDENT}{name}", style=style)
            figures = [f"{it.title} {it.cells[row]}".replace(" ", GLUE) for it in others if it.kind == "figure"]
            texts = [
                (f"{it.title}: {it.cells[row]}", it.style) for it in others if it.kind != "figure" and it.cells[row]
            ]
            for text, text_style in [*texts, (", ".join(figures), style)]:
                for part in text.split("\n") if text else ():
                    for line in wrap(f"{INDENT * 2}{part}", width):
                        yield Text(line, style=text_style)


def _align(columns: Sequence[Column], row: int, widths: Sequence[int], style: str) -> Iterator[Text]:
    """Return the lines of a row."""
    cells = [
        wrap(column.cells[row], width) if column.kind == "text" else column.cells[row].split("\n")
        for column, width in zip(columns, widths, strict=True)
    ]
    for number in range(max(map(len, cells))):
        line = Text(INDENT, style=style)
        for place, (column, lines, width) in enumerate(zip(columns, cells, widths, strict=True)):
            part = lines[number] if number < len(lines) else ""
            blank = " " * (width - cell_len(part))
            line.append(GAP if place else "")
            line.append(blank + part if column.kind == "figure" else part + blank, style=column.style)
        line.rstrip()
        yield line

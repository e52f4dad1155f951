"""What a command prints: results on standard output, the rest on standard error.

Progress comes from the logger ``tsattn``. On a terminal, its latest record is the status line below everything else; if
standard error is no terminal, every record is a line.
Consoles print names and paths without their control characters.
Lines break between words only, and nothing is cut: a table that does not fit is a list of its rows, each with its cells
below its first one.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Self

import click
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from tsattn._logging import STEP, LineHandler, log_to, silence_native_code
from tsattn.cli import flag
from tsattn.errors import DataWarning, escape_controls

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


def print_text(terminal: Console, text: str) -> None:
    """Print sentences, on a terminal with line breaks between words, which it would break anywhere."""
    terminal.print("\n".join(wrap(text, terminal.width)) if terminal.is_terminal else text)


def console(*, stderr: bool = False) -> Console:
    """Return the console for results, or that of standard error for progress and notes."""
    terminal = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)
    terminal.push_render_hook(_EscapeControls())
    return terminal


class _EscapeControls(RenderHook):
    """Escapes the control characters of names and paths in what a console prints."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Return the same objects, rendered without raw control characters."""
        return [_Escaped(part) for part in renderables]


class _Escaped:
    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(escape_controls(segment.text), segment.style)


class Screen:
    """Output of one command, while its context is active.

    Args:
        verbosity: -1 for warnings and errors only, 0 for progress and notes, 1 for details with their times.
        as_json: Whether standard output is for one JSON document, so that nothing else is printed there.

    Attributes:
        notes: Sentences on the result that were printed on standard error.
        warnings: Sentences on what a user should check.
        exit_status: Exit status of the command after its result is printed.
    """

    def __init__(self, verbosity: int = 0, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.exit_status = 0
        self._verbosity = verbosity
        self._context = ExitStack()

    def __enter__(self) -> Self:
        self._context.enter_context(silence_native_code())
        self._errors, self._results = console(stderr=True), console()
        self._status = _Status(self._errors)
        if self._verbosity >= 0:
            handler = self._make_handler()
            self._context.enter_context(log_to(handler, STEP))
        self._context.callback(self._status.hide)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()

    def _make_handler(self) -> logging.Handler:
        start = monotonic()

        def write(text: str) -> None:
            print_text(self._errors, f"{monotonic() - start:6.1f} s  {text}" if self._verbosity > 0 else text)

        lines = LineHandler(write)
        if self._verbosity < 1:
            lines.addFilter(lambda record: record.levelno != logging.DEBUG)
        if not self._errors.is_terminal:
            return lines
        return _StatusHandler(self._status, lines if self._verbosity > 0 else None)

    def print(self, renderable: DataTable | str) -> None:
        """Print a part of the result on standard output."""
        if not self.as_json:
            self._status.hide()
            _print(self._results, renderable)

    def print_raw(self, text: str) -> None:
        """Print text on standard output as it is, apart from control characters on a terminal."""
        if not self.as_json:
            self._status.hide()
            click.echo(escape_controls(text) if self._results.is_terminal else text, nl=False)

    def show(self, renderable: DataTable | str) -> None:
        """Print something that accompanies the result on standard error."""
        if self._verbosity >= 0:
            _print(self._errors, renderable)

    def note(self, sentence: str) -> None:
        """Print a sentence on the result on standard error, and keep it for JSON."""
        self.notes.append(sentence)
        self.show(sentence)

    def warn(self, sentence: str) -> None:
        """Print what a user should check on standard error, also with ``--quiet``, and keep it for JSON."""
        self.warnings.append(sentence)
        print_text(self._errors, f"Warning: {sentence}")

    @contextmanager
    def data_warnings(self) -> Iterator[None]:
        """Print warnings about the data, each of them once."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            yield
        found = [warning.message for warning in caught if isinstance(warning.message, DataWarning)]
        for message in dict.fromkeys(warning.format(flag) for warning in found):
            self.warn(f"{message}.")
        for warning in caught:
            if warning.category is not DataWarning:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _print(terminal: Console, renderable: DataTable | str) -> None:
    if isinstance(renderable, str):
        print_text(terminal, renderable)
    else:
        terminal.print(renderable)


def current_screen() -> Screen:
    """Return the screen of the running command."""
    screen = click.get_current_context().find_object(Screen)
    assert screen is not None
    return screen


class _StatusHandler(logging.Handler):
    """Shows each record in the status line, and as a line with the given handler."""

    def __init__(self, status: _Status, lines: LineHandler | None) -> None:
        super().__init__(STEP)
        self._status = status
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno != logging.DEBUG:
            self._status.show(self.format(record), is_new=record.levelno > STEP)
        if self._lines is not None and record.levelno > STEP:
            self._lines.handle(record)


class _Status:
    """The status line: a spinner, the latest record and the seconds since it."""

    def __init__(self, terminal: Console) -> None:
        self._live = Live(self, console=terminal, transient=True, refresh_per_second=8, redirect_stdout=False)
        unicode = terminal.encoding.startswith("utf")
        self._spinner = Spinner("dots" if unicode else "line")
        self._text = ""
        self._since = monotonic()

    def show(self, text: str, *, is_new: bool) -> None:
        """Show a text; the seconds count from 0 again if it is a new activity."""
        self._text = text
        if is_new:
            self._since = monotonic()
        self._live.start(refresh=True)
        if is_new:
            self._live.refresh()

    def hide(self) -> None:
        """Remove the status line until the next text."""
        self._live.stop()

    def __rich_console__(self, terminal: Console, options: ConsoleOptions) -> RenderResult:
        text = fit_status(escape_controls(self._text), options.max_width - 9)
        seconds = int(monotonic() - self._since)
        clock = f"  {seconds} s" if seconds else ""
        frame = self._spinner.render(terminal.get_time())
        assert isinstance(frame, Text)
        yield Text.assemble(frame, " ", text, (clock, "dim"), no_wrap=True)


def fit_status(text: str, width: int) -> str:
    """Return as many of the parts of a text, which are separated by commas, as fit into a width."""
    first, *parts = text.split(", ")
    for part in parts:
        if len(first) + 2 + len(part) > width:
            break
        first = f"{first}, {part}"
    return first

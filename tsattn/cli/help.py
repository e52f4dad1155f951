"""Help texts: option groups and examples at the width of the terminal."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

MIN_WIDTH = 40
"""Width of the help in terminals that are even narrower."""

Example = tuple[str, str]
"""A command and the reason to type it."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Data": (
        "time", "time_format", "id", "target", "future_covariates", "past_covariates", "static_covariates",
        "categories", "calendar", "holidays", "freq", "season", "on_duplicate", "resample", "fill_missing", "support",
        "graph", "future",
    ),
    "Files": ("encoding", "delimiter", "decimal", "no_header", "na", "sheet", "safe_csv"),
    "Model": ("model", "horizon", "context", "levels", "quantiles", "imports", "config", "settings", "init_from"),
    "Training": ("time_limit", "refit", "resume", "seed"),
    "Messages": ("quiet", "verbose", "as_json"),
}  # fmt: skip
"""Parameters of the options of each group but the first; those of no group are specific to a command."""


class HelpFormatter(click.HelpFormatter):
    """Wraps text between words only, hyphens included, at the width of the terminal."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(width=max(shutil.get_terminal_size().columns - 1, MIN_WIDTH))

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line with the arguments."""
        start = f"{prefix or 'Usage: '}{prog} "
        self.write(self._fill(args, start, " " * 7) + "\n")

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        indent = " " * self.current_indent
        paragraphs = inspect.cleandoc(text).split("\n\n")
        self.write("\n\n".join(self._fill(" ".join(part.split()), indent, indent) for part in paragraphs) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 28, col_spacing: int = 2) -> None:
        """Write terms and their descriptions in two columns; a long term has a line to itself."""
        indent = " " * self.current_indent
        rows = list(rows)
        longest = max((len(term) for term, _ in rows if len(term) <= col_max), default=0)
        start = len(indent) + longest + col_spacing
        for term, text in rows:
            first = f"{indent}{term}".ljust(start)
            if len(first) > start or (len(first) == start and not first.endswith(" ")):
                self.write(f"{indent}{term}\n")
                first = " " * start
            self.write(self._fill(text, first, " " * start).rstrip() + "\n")

    def _fill(self, text: str, first: str, rest: str) -> str:
        if not text:
            return first
        return textwrap.fill(
            text,
            self.width,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )


class Context(click.Context):
    """A context whose help has the width of the terminal."""

    formatter_class = HelpFormatter


def write_options(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options of a command in groups."""
    titles = {name: title for title, names in GROUPS.items() for name in names}
    rows: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Options", *GROUPS)}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            title = titles.get(parameter.name or "", "Options")
            rows["Messages" if "--help" in parameter.opts else title].append(record)
    for title, records in rows.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def write_examples(examples: Sequence[Example], formatter: click.HelpFormatter) -> None:
    """Write examples, the command after its reason."""
    if not examples:
        return
    with formatter.section("Examples"):
        indent = " " * formatter.current_indent
        for line, reason in examples:
            formatter.write_text(f"{reason}:")
            formatter.write(f"{indent}  {line}\n")

"""The class of all commands: options of output, grouped help, result as text or JSON; and how commands load a run."""

from __future__ import annotations

import inspect
import logging
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tsattn.forecaster import Forecaster


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

_logger = logging.getLogger(__name__)


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


def load_tensorflow() -> None:
    """Import TensorFlow, through Keras, unless another backend is configured."""
    _logger.info("Loading TensorFlow")
    import keras  # noqa: F401


def load_forecaster(run: Path, *, verify: bool) -> Forecaster:
    """Return the forecaster of a run directory.

    Raises:
        RunError: It is missing, incomplete or changed.
    """
    load_tensorflow()
    from tsattn.forecaster import Forecaster

    _logger.info("Loading %s", run)
    return Forecaster.load(run, verify=verify)


class Command(click.Command):
    """A command that prints its result, or with ``--json`` the JSON document with the values that it returns.

    A command that prints the document itself returns None.

    Args:
        examples: Commands and the reasons to type them, for the help.
    """

    context_class = Context

    def __init__(self, *arguments: Any, examples: Sequence[Example] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = examples
        self.params += [
            click.Option(["-q", "--quiet"], is_flag=True, help="Print the result, warnings and errors only."),
            click.Option(["-v", "--verbose"], is_flag=True, help="Print details and their times."),
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print the result as JSON, see docs/command-line.md."
            ),
        ]

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in groups, then the examples."""
        write_options(self, context, formatter)
        write_examples(self.examples, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; one too many is often a second value of an option or of an unquoted pattern."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if others := _commands_with(error.option_name, ctx):
                raise click.UsageError(f"{error.message} It is an option of {' and '.join(others)}.", ctx) from None
            raise
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message:
                raise
            hint = "separate the values of an option by commas, and put a pattern of files in quotes"
            raise click.UsageError(f"{error.message}: {hint}", ctx) from None

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        from tsattn.cli.output import write_document
        from tsattn.cli.screen import Screen

        quiet, verbose, as_json = (context.params.pop(name) for name in ("quiet", "verbose", "as_json"))
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose exclude each other")
        with Screen(int(verbose) - int(quiet), as_json=as_json) as screen:
            context.obj = screen
            result = super().invoke(context)
        if as_json and result is not None:
            write_document(context.info_name, result, screen)
        context.exit(screen.exit_status)


def _commands_with(option: str, context: click.Context) -> list[str]:
    """Return up to two commands that have an option."""
    group = context.parent and context.parent.command
    if not isinstance(group, click.Group):
        return []
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    found = [name for name, command in commands.items() if command and any(option in x.opts for x in command.params)]
    return [f"tsattn {name}" for name in found[:2]]

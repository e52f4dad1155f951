"""Command line. Each command parses its options, imports what it needs, runs it and prints the result."""

from __future__ import annotations

import importlib
import sys
from typing import Any, NamedTuple

import click

from tsattn._text import did_you_mean
from tsattn.cli.command import Context, write_examples, write_options
from tsattn.errors import TsattnError, escape_controls


class CommandEntry(NamedTuple):
    """Where a command is defined, and its summary, which the help prints without importing it."""

    module: str
    group: str
    summary: str


COMMANDS = {
    "forecast": CommandEntry("forecast", "Forecast", "Forecast every series of DATA by itself, without training."),
    "fit": CommandEntry("fit", "Forecast", "Train a forecaster on DATA and write a run directory."),
    "predict": CommandEntry("forecast", "Forecast", "Forecast the steps after DATA with the forecaster in RUN."),
    "evaluate": CommandEntry("evaluate", "Evaluate", "Score the forecaster in RUN on DATA, without training."),
    "backtest": CommandEntry("evaluate", "Evaluate", "Forecast the past of DATA and score the forecasts."),
    "explain": CommandEntry("evaluate", "Evaluate", "Print what the forecast of RUN rests on."),
    "tune": CommandEntry("fit", "Improve", "Search for the options with which a model forecasts DATA best."),
    "export": CommandEntry("deploy", "Deploy", "Export the forecaster in RUN for other programs."),
    "serve": CommandEntry("deploy", "Deploy", "Serve the model of a run, or a SavedModel, by HTTP."),
    "inspect": CommandEntry("info", "Look up", "Print how DATA is read: columns, frequency, season, horizon."),
    "models": CommandEntry("info", "Look up", "List the models, or the options of one."),
    "datasets": CommandEntry("info", "Look up", "List example datasets: bundled ones and public ones to download."),
}
"""Commands in the order of the help."""

EXAMPLES = (
    ("tsattn forecast sales.csv", "Forecast without training, in a second"),
    ("tsattn fit sales.csv", "Train, compare with baselines, export, write a report"),
    ("tsattn predict runs/sales", "Forecast the steps after the training data"),
    ("tsattn evaluate runs/sales new.csv", "Score the model on newer data"),
    ("tsattn serve runs/sales", "Serve the model by HTTP"),
)

EXIT_STATUSES = (
    ("0", "success"),
    ("1", "an error in the data or the run, which the last line names"),
    ("2", "wrong usage: an unknown option, or a value that is not allowed"),
    ("3", "inspect only: the data can be read, with warnings"),
    ("130", "Ctrl-C; while fit is training, only the second one"),
)

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT."""


def flag(option: str) -> str:
    """Return an option as the command line spells it."""
    return f"--{option.replace('_', '-')}"


class _Commands(click.Group):
    """Imports commands on demand and prints errors that users can fix in one line."""

    context_class = Context

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        context.obj = list(args)
        return super().parse_args(context, args)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"tsattn.cli.{COMMANDS[name].module}"), name)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            context.fail(f"there is no command {args[0]!r}{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(context, args)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for group in dict.fromkeys(entry.group for entry in COMMANDS.values()):
            with formatter.section(group):
                formatter.write_dl([(name, it.summary) for name, it in COMMANDS.items() if it.group == group])
        write_options(self, context, formatter)
        write_examples(EXAMPLES, formatter)
        with formatter.section("Exit status"):
            formatter.write_dl(EXIT_STATUSES)

    def invoke(self, context: click.Context) -> Any:
        arguments: list[str] = context.obj
        try:
            return super().invoke(context)
        except (TsattnError, click.ClickException, KeyboardInterrupt) as error:
            from tsattn.cli.output import exit_status_of, write_error

            if "--json" in arguments:
                write_error(next((part for part in arguments if part in COMMANDS), None), error)
            if isinstance(error, KeyboardInterrupt):
                _print_error("Interrupted.")
                raise click.exceptions.Exit(INTERRUPTED) from None
            if isinstance(error, click.UsageError) and error.ctx is not None:
                click.echo(error.ctx.get_usage(), err=True)
                click.echo(f"Try '{error.ctx.command_path} --help' for help.\n", err=True)
            message = error.format(flag) if isinstance(error, TsattnError) else error.format_message()
            _print_error(f"Error: {message}")
            raise click.exceptions.Exit(exit_status_of(error)) from None


def _print_error(text: str) -> None:
    """Print a sentence on standard error, on a terminal with line breaks between words."""
    if sys.stderr.isatty():
        from tsattn.cli.screen import console, print_text

        print_text(console(stderr=True), text)
    else:
        click.echo(escape_controls(text), err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "-V", "--version", package_name="tsattn")
def main() -> None:
    """Forecast time series with attention: from a CSV file to a served forecast."""

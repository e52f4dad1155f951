"""Command line. Each command parses its options, imports what it needs, runs it and prints the result."""

from __future__ import annotations

import importlib
from typing import Any

import click

from tsattn.errors import ConfigError, TsattnError

COMMANDS = {
    "forecast": "forecast",
    "fit": "fit",
    "tune": "tune",
    "predict": "predict",
    "explain": "explain",
    "export": "export",
    "serve": "serve",
    "evaluate": "evaluate",
    "backtest": "backtest",
    "inspect": "info",
    "models": "info",
    "datasets": "info",
}
"""Commands in the order of the help, with the modules that define them."""


INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT."""


def flag(option: str) -> str:
    """Return an option as the command line spells it."""
    return f"--{option.replace('_', '-')}"


class _Commands(click.Group):
    """Imports commands on demand and prints errors that users can fix in one line."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"tsattn.cli.{COMMANDS[name]}"), name)
        return command

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ConfigError as error:
            raise click.UsageError(error.format(flag)) from None
        except TsattnError as error:
            raise click.ClickException(error.format(flag)) from None
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tsattn")
def main() -> None:
    """Forecast time series with attention: from a CSV file to a served forecast.

    \b
      tsattn forecast sales.csv           forecast without training, in a second
      tsattn fit sales.csv                train, compare with baselines, export
      tsattn predict runs/sales           forecast the next steps
      tsattn serve runs/sales             serve the model by HTTP
      tsattn evaluate runs/sales new.csv  score the model on newer data
      tsattn tune sales.csv               search for better options
      tsattn backtest sales.csv           score forecasts of the past
    """  # noqa: D301

"""The command line. Each command parses and prints; what it does is imported when it runs."""

from __future__ import annotations

import importlib
from typing import Any

import click

from tsattn.errors import ConfigError, TsattnError

COMMANDS = ("fit", "tune", "predict", "export", "serve", "evaluate", "backtest", "inspect", "models", "datasets")


def flag(option: str) -> str:
    """Return an option as the command line spells it."""
    return f"--{option.replace('_', '-')}"


class _Commands(click.Group):
    """Loads a command when it is asked for, and turns the errors of users into one line."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"tsattn.cli.{name}"), name)
        return command

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ConfigError as error:
            raise click.UsageError(error.format(flag)) from None
        except TsattnError as error:
            raise click.ClickException(error.format(flag)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tsattn")
def main() -> None:
    """Forecast time series with attention: from a CSV to a served forecast.

    \b
      tsattn fit sales.csv              train, compare with naive baselines, export
      tsattn predict runs/sales         forecast what comes next
      tsattn serve runs/sales           answer others, by HTTP
      tsattn evaluate runs/sales new.csv  how good is it on what has come since?
      tsattn tune sales.csv             search for better options
      tsattn backtest sales.csv         how good would forecasts have been?
    """

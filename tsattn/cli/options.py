"""Options and output that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])

_DATA_OPTIONS = (
    click.option("--time", metavar="COLUMN", help="Column of the time stamps."),
    click.option("--id", metavar="COLUMN", help="Column that tells the series apart (long data)."),
    click.option("--target", metavar="COLUMN[,COLUMN]", help="Column or columns to forecast."),
    click.option("--freq", metavar="ALIAS", help="Frequency: h, 15min, D, W-SAT, MS, or a whole number."),
    click.option("--season", type=click.IntRange(1), help="Season length in steps; 1 for none."),
    click.option("--horizon", type=click.IntRange(1), help="Steps to forecast."),
)


def data_options(command: F) -> F:
    """Add the options that say how data are read; what is not given is inferred."""
    for option in reversed(_DATA_OPTIONS):
        command = option(command)
    return command


def console() -> Console:
    """The console for what is told while a command works; results go to standard output."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def quiet_start() -> Iterator[None]:
    """Keep TensorFlow's start-up notices, which it writes past Python, off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)

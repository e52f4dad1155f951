"""``tsattn explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.command import Command
from tsattn.cli.document import records
from tsattn.cli.loading import load_forecaster
from tsattn.cli.options import (
    PATH,
    cutoff_option,
    future_option,
    import_option,
    out_option,
    overwrite_option,
    verify_option,
)
from tsattn.cli.output import text_table
from tsattn.cli.screen import Screen, current_screen

if TYPE_CHECKING:
    import pandas as pd

    from tsattn.explanation.explanation import Explanation

_MAX_ROWS = 10


@click.command(
    cls=Command,
    examples=(
        ("tsattn explain runs/sales", "After the training data"),
        ("tsattn explain runs/sales sales.csv -o explanation", "Over more windows, with tables and pictures"),
    ),
)
@click.argument("run", type=PATH)
@click.argument("data", type=PATH, required=False)
@future_option
@import_option
@verify_option
@cutoff_option
@out_option("Folder for the tables as CSV and the pictures as PNG.", "only printed")
@overwrite_option
def explain(
    run: Path,
    verify: bool,
    data: Path | None,
    future: Path | None,
    cutoff: str | None,
    out: Path | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Print what the forecast of RUN rests on.

    The weights of combined methods; the past steps that each forecast step attends to, and how much more the forecast
    moves if these are masked than for random ones; how much the error increases if a covariate is permuted; the
    learned graph. A run without any of these, such as a naive baseline, is an error. DATA is as for `tsattn predict`;
    with DATA the covariates are permuted over more windows.
    """
    from tsattn.atomic_io import check_folder

    if out is not None:
        check_folder(out, overwrite=overwrite)
    screen = current_screen()
    with screen.data_warnings():
        explanation = load_forecaster(run, verify=verify).explain(data, future, cutoff=cutoff)
    _print(screen, explanation)
    if out is not None:
        explanation.write(out, overwrite=overwrite)
        names = [f"{name}.csv" for name in explanation.tables]
        screen.show(f"\nWritten: {out}/ with explanation.png, {', '.join(names)}")
    tables = {name: records(table) for name, table in explanation.tables.items()}
    return {"out": out, "summary": explanation.summary(), "tables": tables}


def _print(screen: Screen, explanation: Explanation) -> None:
    """Print the tables that are short, and the sentences."""
    for table, title in ((explanation.weights, "method"), (explanation.forecasters, "forecaster")):
        if table is not None:
            screen.print(text_table(*_mean_weights(table, title)))
    if explanation.covariates is not None:
        rows = [
            (str(row.covariate), f"{row.increase:+.1%}", f"{row.spread:.1%}", str(row.windows))
            for row in explanation.covariates.itertuples()
        ]
        screen.print(text_table(("covariate", "error if permuted", "spread", "windows"), rows))
    if explanation.graph is not None:
        edges = explanation.graph.head(_MAX_ROWS)
        strongest = [(str(row.source), str(row.target), f"{row.weight:.3f}") for row in edges.itertuples()]
        screen.print(text_table(("from", "to", "weight"), strongest))
    for sentence in explanation.summary():
        screen.print(sentence)


def _mean_weights(weights: pd.DataFrame, name: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the head and the largest rows of a table of weights: means over all steps, the first and the last one."""
    by_step = weights.groupby([name, weights.columns[0]], sort=False)["weight"]
    means = by_step.agg(["mean", "first", "last"]).groupby(name, sort=False).mean()
    largest = means.sort_values("mean", ascending=False, kind="stable").head(_MAX_ROWS)
    rows = [(str(label), *(f"{value:.0%}" for value in row)) for label, row in largest.iterrows()]
    return (name, "weight", "first step", "last step"), rows

"""``tsattn evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.command import Command
from tsattn.cli.document import records
from tsattn.cli.loading import load_forecaster
from tsattn.cli.options import PATH, baseline_option, import_option, overwrite_option, safe_csv_option, verify_option
from tsattn.cli.output import grouped_scores_table, scores_table, write_table
from tsattn.cli.screen import Screen, current_screen

if TYPE_CHECKING:
    import pandas as pd

    from tsattn.evaluation.evaluate import Evaluation


@click.command(
    cls=Command,
    examples=(
        ("tsattn evaluate runs/sales new.csv", "On data after the training data"),
        ("tsattn evaluate runs/sales sales.csv --last-steps 24", "On the last steps of known data"),
    ),
)
@click.argument("run", type=PATH)
@click.argument("data", type=PATH)
@import_option
@verify_option
@click.option(
    "--origins",
    type=click.IntRange(1),
    metavar="N",
    help="Number of forecasts per series, latest first.  [default: all]",
)
@click.option(
    "--step", type=click.IntRange(1), metavar="N", help="Steps between two forecasts.  [default: the horizon]"
)
@click.option(
    "--last-steps",
    type=click.IntRange(1),
    metavar="N",
    help="Score the last N steps of each series, even if trained on.",
)
@baseline_option
@click.option("--by", type=click.Choice(["series", "step"]), help="Print the scores by series or step, too.")
@click.option("-o", "--out", type=PATH, help="CSV, Parquet or JSON file for the forecasts.")
@click.option("--scores", type=PATH, help="CSV, Parquet or JSON file for the scores, by series or step with --by.")
@overwrite_option
@safe_csv_option
def evaluate(
    run: Path,
    verify: bool,
    data: Path,
    origins: int | None,
    step: int | None,
    last_steps: int | None,
    baselines: tuple[str, ...],
    by: str | None,
    out: Path | None,
    scores: Path | None,
    overwrite: bool,
    safe_csv: bool,
) -> dict[str, Any]:
    """Score the forecaster in RUN on DATA, without training.

    By default it forecasts the data after the end of its training data, horizon by horizon. DATA may include the
    training data. The naive baselines are scored on the same forecasts.
    """
    from tsattn.atomic_io import check_file
    from tsattn.scoring.window_forecaster import check_classical

    files = [path for path in (out, scores) if path is not None]
    for path in files:
        check_file(path, overwrite=overwrite)
    check_classical(baselines)
    screen = current_screen()
    with screen.data_warnings():
        result = load_forecaster(run, verify=verify).evaluate(
            data, origins=origins, step=step, last_steps=last_steps, baselines=baselines
        )
    screen.note(result.summary)
    grouped = {"series": result.scored.by_series, "step": result.scored.by_step}.get(by or "")
    summary = _print(screen, result, grouped)
    if out is not None:
        write_table(result.forecasts, out, safe=safe_csv)
    if scores is not None:
        write_table(result.scores if grouped is None else grouped, scores, safe=safe_csv)
    if files:
        screen.show(f"\nWritten: {' and '.join(str(path) for path in files)}")
    return {
        "model": result.model,
        "summary": summary,
        "scores": records(result.scores),
        "groups": [] if grouped is None else records(grouped),
        "files": files,
    }


def _print(screen: Screen, result: Evaluation, grouped: pd.DataFrame | None) -> str:
    """Print the result on standard output and return its summary."""
    from tsattn.scoring.model_choice import comparison_summary

    screen.print(scores_table(result.scores, [result.model], "On these data"))
    if grouped is not None:
        screen.print(grouped_scores_table(grouped, result.model))
    summary = comparison_summary(result.scores, result.model, "on these data")
    for sentence in (*result.notes, summary):
        screen.print(sentence)
    return summary

"""``tsattn evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsattn._logging import silence_stderr
from tsattn.cli.options import PATH, baseline_option, import_option, safe_csv_option, verify_option
from tsattn.cli.output import console, grouped_scores_table, notes, scores_table, write_output

if TYPE_CHECKING:
    import pandas as pd

    from tsattn.evaluation.evaluate import Evaluation


@click.command()
@click.argument("run", type=PATH)
@click.argument("data", type=PATH)
@import_option
@verify_option
@click.option("--origins", type=click.IntRange(1), help="Number of forecasts per series, latest first.  [default: all]")
@click.option("--step", type=click.IntRange(1), help="Steps between two forecasts.  [default: the horizon]")
@click.option("--last-steps", type=click.IntRange(1), help="Score the last steps of each series, even if trained on.")
@baseline_option
@click.option("--by", type=click.Choice(["series", "step"]), help="Print the scores by series or step, too.")
@click.option("-o", "--out", type=PATH, help="CSV, Parquet or JSON file for the forecasts.")
@click.option("--scores", type=PATH, help="CSV, Parquet or JSON file for the scores, by series or step with --by.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
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
) -> None:
    """Score the forecaster in RUN on DATA, without training.

    By default it forecasts the data after the end of its training data, horizon by horizon. DATA may include the
    training data. The naive baselines are scored on the same forecasts.
    """
    from tsattn.atomic_io import check_file
    from tsattn.scoring.classical import check_classical

    files = [path for path in (out, scores) if path is not None]
    for path in files:
        check_file(path, overwrite=overwrite)
    check_classical(baselines)
    with silence_stderr():
        from tsattn.forecaster import Forecaster
    terminal = console(stderr=True)
    with notes(terminal):
        result = Forecaster.load(run, verify=verify).evaluate(
            data, origins=origins, step=step, last_steps=last_steps, baselines=baselines
        )
    terminal.print(result.summary)
    grouped = {"series": result.scored.by_series, "step": result.scored.by_step}.get(by or "")
    _print(result, grouped)
    if out is not None:
        write_output(result.forecasts, out, safe=safe_csv)
    if scores is not None:
        write_output(result.scores if grouped is None else grouped, scores, safe=safe_csv)
    if files:
        terminal.print(f"\nWritten: {' and '.join(str(path) for path in files)}.")


def _print(result: Evaluation, grouped: pd.DataFrame | None) -> None:
    """Print the result on standard output."""
    from tsattn.scoring.model_choice import comparison_summary

    terminal = console()
    terminal.print(scores_table(result.scores, [result.model], "On these data"))
    if grouped is not None:
        terminal.print(grouped_scores_table(grouped, result.model))
    for sentence in (*result.notes, comparison_summary(result.scores, result.model, "on these data")):
        terminal.print(sentence)

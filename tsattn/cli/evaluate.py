"""``tsattn evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from tsattn.cli.options import baseline_option, console, import_option, notes, quiet_start

if TYPE_CHECKING:
    import pandas as pd

    from tsattn.evaluation.evaluate import Evaluation


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@import_option
@click.option("--origins", type=click.IntRange(1), help="Forecasts of each series, the newest ones [default: all].")
@click.option("--step", type=click.IntRange(1), help="Steps between them [default: the horizon].")
@click.option("--last", type=click.IntRange(1), help="Score the last steps of each series, trained on or not.")
@baseline_option
@click.option("--by", type=click.Choice(["series", "step"]), help="One more table: by series, or by step ahead.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="CSV, Parquet or JSON file for all the forecasts.")
@click.option("--scores", type=click.Path(path_type=Path), help="The same for the scores, by series or step with --by.")
@click.option("--overwrite", is_flag=True, help="Replace these files if they are there.")
def evaluate(
    run: Path,
    data: Path,
    origins: int | None,
    step: int | None,
    last: int | None,
    baselines: tuple[str, ...],
    by: str | None,
    out: Path | None,
    scores: Path | None,
    overwrite: bool,
) -> None:
    """Hold the forecaster in RUN against DATA, without training it again.

    By default it forecasts what lies behind the data that it was trained on, a horizon after another. DATA may begin
    there, or hold the training data as well. The naive baselines stand beside it.
    """
    from tsattn.atomic_io import check_file, write_frame
    from tsattn.scoring.classical import check_classical

    wanted = [path for path in (out, scores) if path is not None]
    for path in wanted:
        check_file(path, overwrite=overwrite)
    check_classical(baselines)
    with quiet_start():
        from tsattn.forecaster import Forecaster
    terminal = console()
    with notes(terminal):
        result = Forecaster.load(run).evaluate(data, origins=origins, step=step, last=last, baselines=baselines)
    terminal.print(result.about)
    _print(result, by)
    if out is not None:
        write_frame(result.forecasts, out)
    if scores is not None:
        write_frame(_parts(result, by), scores)
    if wanted:
        terminal.print(f"\nWritten: {' and '.join(str(path) for path in wanted)}.")


def _parts(result: Evaluation, by: str | None) -> pd.DataFrame:
    """Return the scores in total, by series or by step."""
    return {"series": result.scored.by_series, "step": result.scored.by_step}.get(by or "", result.scores)


def _print(result: Evaluation, by: str | None) -> None:
    """Print the result on standard output."""
    from tsattn.cli.tables import parts_table, scores_table
    from tsattn.scoring.model_choice import verdict

    terminal = Console(highlight=False, markup=False, soft_wrap=True)
    terminal.print(scores_table(result.scores, [result.model], "On these data"))
    if by is not None:
        terminal.print(parts_table(_parts(result, by), result.model))
    for sentence in result.notes:
        terminal.print(sentence)
    terminal.print(verdict(result.scores, result.model, "on these data"))

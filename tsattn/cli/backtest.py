"""``tsattn backtest``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.batch import engine_options, make_engine
from tsattn.cli.command import Command
from tsattn.cli.document import records
from tsattn.cli.loading import load_tensorflow
from tsattn.cli.options import (
    PATH,
    add_options,
    baseline_option,
    config_options,
    data_name,
    free_path,
    out_option,
    overwrite_option,
    read_config,
    split_names,
)
from tsattn.cli.output import count, print_schema, scores_table
from tsattn.cli.screen import Screen, current_screen
from tsattn.config import AUTO

if TYPE_CHECKING:
    from tsattn.evaluation.origins import EvaluationWindows
    from tsattn.evaluation.rolling_origin import Backtest, BacktestProgress, Refit


@click.command(
    cls=Command,
    examples=(
        ("tsattn backtest sales.csv --folds 3", "The model of `tsattn fit`"),
        ("tsattn backtest sales.csv --model tcn,drift", "A leaderboard of several models"),
    ),
)
@click.argument("data", type=PATH)
@click.option(
    "--folds", type=click.IntRange(1), metavar="N", default=5, help="Number of forecast origins.  [default: 5]"
)
@click.option(
    "--step",
    type=click.IntRange(1),
    metavar="N",
    help="Steps between two origins.  [default: the horizon, or less for short data]",
)
@click.option(
    "--refit",
    type=click.Choice(["never", "every"]),
    default="never",
    show_default=True,
    help="Train once, before the first fold, or again before every fold.",
)
@baseline_option
@out_option("Folder to write.", "backtests/ and the name of DATA")
@overwrite_option
@add_options(
    engine_options("Train models and folds in N processes; with --refit every, each fold is a task.  [default: 1]")
)
@config_options("Model or models to compare, see `tsattn models`.", "NAME[,...]")
def backtest(
    data: Path,
    folds: int,
    step: int | None,
    refit: Refit,
    baselines: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    jobs: int | None,
    ray: str | None,
    model: str | None,
    **options: Any,
) -> dict[str, Any]:
    """Forecast the past of DATA and score the forecasts.

    Forecasts have several origins: the last one is one horizon before the end of each series, the others precede it by
    --step each. A forecast uses only data before its origin. The naive baselines are always compared; autoets,
    autotheta and autoarima are with --baseline or as a --model. Without --model, the model is selected as by
    `tsattn fit`.

    The forecasts of each fold are written as soon as they are available. The same command resumes a stopped backtest.
    """
    from tsattn.evaluation.origins import plan_backtest
    from tsattn.forecasting.finetuning import read_series
    from tsattn.scoring.window_forecaster import check_classical

    models = split_names(model)
    config = read_config(**options, model=_configured_model(models))
    check_classical(baselines)
    screen = current_screen()
    panel, schema = read_series(data, config)
    windows = plan_backtest(panel, schema, config.data, folds, step, str(data))
    print_schema(screen, windows.schema, panel)
    screen.show(_describe_windows(windows, refit, is_step_given=step is not None))
    load_tensorflow()
    from tsattn.evaluation.backtest import backtest_windows
    from tsattn.evaluation.fold_store import FoldStore, describe_backtest, read_description

    description = describe_backtest(windows, config, refit)
    folder = out or free_path(Path("backtests") / data_name(data), lambda path: read_description(path) == description)
    store = FoldStore.open(folder, windows, config, refit, overwrite=overwrite)
    result = backtest_windows(
        config,
        windows,
        refit=refit,
        models=models,
        baselines=baselines,
        store=store,
        on_progress=_FinishedModels(screen),
        engine=None if (jobs or 1) == 1 and ray is None else make_engine(jobs, ray),
    )
    summary = _print(screen, result, folds)
    screen.show(f"\nWritten: {folder}/ with leaderboard.csv, scores.csv and forecasts.csv.")
    return {"folder": folder, "best": result.best, "summary": summary, "scores": records(result.scores)}


class _FinishedModels:
    """Prints a line for each model whose folds are finished."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._seconds: list[float | None] = []

    def __call__(self, step: BacktestProgress) -> None:
        self._seconds.append(step.seconds)
        if step.fold < step.folds:
            return
        measured = [seconds for seconds in self._seconds if seconds is not None]
        reused = f", {step.folds - len(measured)} of them already done" if len(measured) < step.folds else ""
        self._screen.show(f"  {step.model}: {count(step.folds, 'fold')}{reused}, {sum(measured):.1f} s")
        self._seconds.clear()


def _configured_model(models: Sequence[str]) -> str | None:
    """Return the model that is checked against the given options: `auto` or the first that is not classical."""
    from tsattn.scoring.window_forecaster import CLASSICAL

    return AUTO if AUTO in models else next((name for name in models if name not in CLASSICAL), None)


def _describe_windows(windows: EvaluationWindows, refit: str, *, is_step_given: bool) -> str:
    """Return the origins and the training data of the folds in a few lines."""
    from tsattn._text import format_timestamp

    cutoffs, horizon, lengths = windows.cutoffs, windows.schema.horizon, windows.training().lengths
    first, last = cutoffs.iloc[0], cutoffs.iloc[-1]
    span = list(dict.fromkeys(format_timestamp(time) for time in (cutoffs["first"].min(), cutoffs["last"].max())))
    ends = f"histories end from {span[0]} to {span[-1]}" if len(span) > 1 else f"the history ends at {span[0]}"
    distance = f", {count(windows.step, 'step')} apart" if len(windows) > 1 else ""
    lines = [
        f"{count(len(windows), 'fold')}{distance}: {ends}; each forecast covers the next {count(horizon, 'step')}."
    ]
    if windows.step < horizon and len(windows) > 1:
        reason = "" if is_step_given else f"The data are too short for {horizon} steps between origins: "
        lines.append(f"{reason}{'the' if reason else 'The'} forecasts overlap.")
    steps = " to ".join(dict.fromkeys([str(lengths.min()), str(lengths.max())]))
    if refit == "never":
        lines.append(f"Trained once, on the {steps} steps before the first fold.")
    else:
        lines.append(f"Trained again before every fold, on {steps} steps before the first.")
    if first["skipped"]:
        total = first["skipped"] + first["series"]
        lines.append(
            f"Left out because they are too short: {first['skipped']} of {total} series at the first fold, "
            f"{last['skipped']} at the last."
        )
    return "\n".join(lines)


def _print(screen: Screen, result: Backtest, folds: int) -> str:
    """Print the result on standard output and return its summary."""
    from tsattn.scoring.model_choice import comparison_summary

    where = f"over {count(folds, 'fold')}"
    labels = {name: result.label(name) for name in result.models}
    scores = result.scores.replace({"model": labels})
    screen.print(scores_table(scores, tuple(labels.values()), where.capitalize()))
    choices = dict.fromkeys(choice.summary() for choices in result.choices.values() for choice in choices)
    for sentence in (*result.notes, *choices):
        screen.print(sentence)
    if len(labels) > 1:
        screen.print(f"Best of {', '.join(labels)}: {labels[result.best]}.")
    summary = comparison_summary(scores, labels[result.best], where)
    screen.print(summary)
    return summary

"""``tsattn backtest``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn._logging import silence_stderr
from tsattn.cli.options import (
    PATH,
    baseline_option,
    config_options,
    data_name,
    free_path,
    read_config,
    split_names,
)
from tsattn.cli.output import console, count, print_schema, scores_table
from tsattn.config import AUTO

if TYPE_CHECKING:
    from tsattn.evaluation.origins import EvaluationWindows
    from tsattn.evaluation.rolling_origin import Backtest, Refit


@click.command()
@click.argument("data", type=PATH)
@click.option("--folds", type=click.IntRange(1), default=5, show_default=True, help="Number of forecast origins.")
@click.option(
    "--step", type=click.IntRange(1), help="Steps between two origins.  [default: the horizon, or less for short data]"
)
@click.option(
    "--refit",
    type=click.Choice(["never", "every"]),
    default="never",
    show_default=True,
    help="Train once, before the first fold, or again before every fold.",
)
@baseline_option
@click.option("-o", "--out", type=PATH, help="Folder of the results.  [default: backtests/ and the name of DATA]")
@click.option("--overwrite", is_flag=True, help="Replace an existing backtest in that folder.")
@config_options("Model or models to compare, see `tsattn models`.", "NAME[,...]")
def backtest(
    data: Path,
    folds: int,
    step: int | None,
    refit: Refit,
    baselines: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    model: str | None,
    **options: Any,
) -> None:
    """Forecast the past of DATA and score the forecasts.

    Forecasts have several origins: the last one is one horizon before the end of each series, the others precede it by
    --step each. A forecast uses only data before its origin. The naive baselines are always compared; autoets,
    autotheta and autoarima are with --baseline or as a --model. Without --model, the model is selected as by
    `tsattn fit`.

    The forecasts of each fold are written as soon as they are available. The same command resumes a stopped backtest.
    """
    from tsattn.evaluation.origins import plan_backtest
    from tsattn.forecasting.finetuning import read_series
    from tsattn.scoring.classical import check_classical

    models = split_names(model)
    config = read_config(**options, model=_configured_model(models))
    check_classical(baselines)
    terminal = console(stderr=True)
    panel, schema = read_series(data, config)
    windows = plan_backtest(panel, schema, config.data, folds, step, str(data))
    print_schema(terminal, windows.schema, panel)
    terminal.print(_describe_windows(windows, refit, is_step_given=step is not None))
    with silence_stderr():
        from tsattn.cli.progress import BacktestBar
        from tsattn.evaluation.backtest import backtest_windows
        from tsattn.evaluation.fold_store import FoldStore, describe_backtest, read_description

    description = describe_backtest(windows, config, refit)
    folder = out or free_path(Path("backtests") / data_name(data), lambda path: read_description(path) == description)
    store = FoldStore.open(folder, windows, config, refit, overwrite=overwrite)
    with BacktestBar(terminal) as bar:
        result = backtest_windows(
            config,
            windows,
            refit=refit,
            models=models,
            baselines=baselines,
            store=store,
            callback=bar.training_bar,
            on_progress=bar.update,
        )
    _print(result, folds)
    terminal.print(f"\nWritten: {folder}/ with leaderboard.csv, scores.csv and forecasts.csv.")


def _configured_model(models: Sequence[str]) -> str | None:
    """Return the model that is checked against the given options: `auto` or the first that is not classical."""
    from tsattn.scoring.classical import CLASSICAL

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


def _print(result: Backtest, folds: int) -> None:
    """Print the result on standard output."""
    from tsattn.scoring.model_choice import comparison_summary

    terminal = console()
    where = f"over {count(folds, 'fold')}"
    labels = {name: result.label(name) for name in result.models}
    scores = result.scores.replace({"model": labels})
    terminal.print(scores_table(scores, tuple(labels.values()), where.capitalize()))
    choices = dict.fromkeys(choice.summary() for choices in result.choices.values() for choice in choices)
    for sentence in (*result.notes, *choices):
        terminal.print(sentence)
    if len(labels) > 1:
        terminal.print(f"Best of {', '.join(labels)}: {labels[result.best]}.")
    terminal.print(comparison_summary(scores, labels[result.best], where))

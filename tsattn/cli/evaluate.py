"""``tsattn evaluate``, ``tsattn backtest`` and ``tsattn explain``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.command import Command, load_forecaster, load_tensorflow
from tsattn.cli.options import (
    PATH,
    add_options,
    baseline_option,
    config_options,
    cutoff_option,
    data_name,
    engine_options,
    free_path,
    future_option,
    import_option,
    make_engine,
    out_option,
    overwrite_option,
    read_config,
    safe_csv_option,
    split_names,
    verify_option,
)
from tsattn.cli.output import count, grouped_scores_table, print_schema, records, scores_table, text_table, write_table
from tsattn.cli.screen import Screen, current_screen
from tsattn.config import AUTO

if TYPE_CHECKING:
    import pandas as pd

    from tsattn.evaluation.origins import EvaluationWindows
    from tsattn.evaluation.rolling_origin import Backtest, BacktestProgress, Evaluation, Refit
    from tsattn.explanation.explanation import Explanation


_MAX_ROWS = 10


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
    summary = _print_evaluation(screen, result, grouped)
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


def _print_evaluation(screen: Screen, result: Evaluation, grouped: pd.DataFrame | None) -> str:
    """Print the result on standard output and return its summary."""
    from tsattn.scoring.model_choice import comparison_summary

    screen.print(scores_table(result.scores, [result.model], "On these data"))
    if grouped is not None:
        screen.print(grouped_scores_table(grouped, result.model))
    summary = comparison_summary(result.scores, result.model, "on these data")
    for sentence in (*result.notes, summary):
        screen.print(sentence)
    return summary


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
    from tsattn.forecasting.warm_start import read_series
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
    summary = _print_backtest(screen, result, folds)
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


def _print_backtest(screen: Screen, result: Backtest, folds: int) -> str:
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
    _print_explanation(screen, explanation)
    if out is not None:
        explanation.write(out, overwrite=overwrite)
        names = [f"{name}.csv" for name in explanation.tables]
        screen.show(f"\nWritten: {out}/ with explanation.png, {', '.join(names)}")
    tables = {name: records(table) for name, table in explanation.tables.items()}
    return {"out": out, "summary": explanation.summary(), "tables": tables}


def _print_explanation(screen: Screen, explanation: Explanation) -> None:
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

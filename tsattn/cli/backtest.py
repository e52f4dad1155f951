"""``tsattn backtest``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from tsattn.cli.options import (
    baseline_option,
    comparing_options,
    console,
    data_name,
    quiet_start,
    read_config,
    several_models,
)

if TYPE_CHECKING:
    from tsattn.config import RunConfig
    from tsattn.evaluation.backtest import Backtest, Refit
    from tsattn.evaluation.origins import BacktestPlan


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--folds", type=click.IntRange(1), default=5, show_default=True, help="How many times to forecast.")
@click.option("--step", type=click.IntRange(1), help="Steps between them [default: the horizon, less for short data].")
@click.option(
    "--refit",
    type=click.Choice(["never", "every"]),
    default="never",
    show_default=True,
    help="Train once, before the first fold, or before every one.",
)
@baseline_option
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the results [default: backtests/ and DATA's name].",
)
@click.option("--overwrite", is_flag=True, help="Do all again where that folder has a backtest already.")
@comparing_options
def backtest(
    data: Path,
    folds: int,
    step: int | None,
    refit: Refit,
    baselines: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    model: str | None,
    **given: Any,
) -> None:
    """Forecast the past of DATA, again and again, and score it.

    The last forecast begins a horizon before the end of each series, the others --step before one another; each sees
    only what lies before it. The naive baselines stand beside the models, autoets,autotheta,autoarima among --model or
    by --baseline. Without --model it is the network, or where it is no better a naive baseline, as in `tsattn fit`.

    The forecasts of every fold are kept as they come: stopped and started again by the same command, it goes on.
    """
    from tsattn.cli.tables import reading
    from tsattn.evaluation.origins import plan_backtest
    from tsattn.forecasting.finetuning import read_series
    from tsattn.scoring.classical import check_classical

    models = several_models(model)
    config = read_config(**given, model=_own(models))
    check_classical(baselines)
    terminal = console()
    panel, schema = read_series(data, config)
    plan = plan_backtest(panel, schema, config.data, folds, step, str(data))
    terminal.print(reading(plan.schema, panel))
    terminal.print(_told(plan, refit, given_step=step is not None))
    with quiet_start():
        from tsattn.cli.progress import BacktestBar
        from tsattn.evaluation.fold_store import Folds
        from tsattn.forecaster import Forecaster

    forecaster = Forecaster.from_config(config)
    place = out or _free(Path("backtests") / data_name(data), plan, config, refit)
    kept = Folds.open(place, plan, config, refit, overwrite=overwrite)
    with BacktestBar(terminal) as bar:
        result = forecaster.backtest_plan(
            plan,
            refit=refit,
            models=models,
            baselines=baselines,
            folds=kept,
            watch=bar.watch,
            tell=bar.tell,
        )
    _print(result, folds)
    terminal.print(f"\nWritten: {place}/ with leaderboard.csv, scores.csv and forecasts.csv.")


def _own(models: Sequence[str]) -> str | None:
    """Return the model whose options are those that are given; the others take the same ones, classical ones none."""
    from tsattn.config import AUTO
    from tsattn.scoring.classical import CLASSICAL

    # What `auto` is given besides is refused beside a name.
    return AUTO if AUTO in models else next((name for name in models if name not in CLASSICAL), None)


def _free(path: Path, plan: BacktestPlan, config: RunConfig, refit: str) -> Path:
    """Return a folder that is not there yet, or has some of the same backtest: the given one, or that with a number."""
    from tsattn.evaluation.fold_store import about, known

    asked, number, free = about(plan, config, refit), 1, path
    while free.exists() and known(free) != asked:
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _told(plan: BacktestPlan, refit: str, *, given_step: bool) -> str:
    """Return where the series are cut, in a few lines."""
    from tsattn._text import format_timestamp

    cutoffs, horizon, lengths = plan.cutoffs, plan.schema.horizon, plan.training().lengths
    first, last = cutoffs.iloc[0], cutoffs.iloc[-1]
    span = list(dict.fromkeys(format_timestamp(stamp) for stamp in (cutoffs["first"].min(), cutoffs["last"].max())))
    ends = f"histories end from {span[0]} to {span[-1]}" if len(span) > 1 else f"the history ends at {span[0]}"
    apart = f", {_count(plan.step, 'step')} apart" if len(plan) > 1 else ""
    lines = [f"{_count(len(plan), 'fold')}{apart}: {ends}; the forecast is what follows, {_count(horizon, 'step')}."]
    if plan.step < horizon and len(plan) > 1:
        why = "" if given_step else f"The data are too short for {horizon} steps between them: "
        lines.append(f"{why}the forecasts overlap." if why else "The forecasts overlap.")
    known = " to ".join(dict.fromkeys([str(lengths.min()), str(lengths.max())]))
    often = {"never": "Trained once, on the {} steps before the first fold."}
    often["every"] = "Trained anew before every fold, on {} steps before the first."
    lines.append(often[refit].format(known))
    if first["left_out"]:
        total = first["left_out"] + first["series"]
        lines.append(
            f"Left out, being too short: {first['left_out']} of {total} series at the first fold, "
            f"{last['left_out']} at the last."
        )
    return "\n".join(lines)


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _print(result: Backtest, folds: int) -> None:
    """Print the result on standard output."""
    from tsattn.cli.tables import scores_table
    from tsattn.scoring.model_choice import verdict

    terminal = Console(highlight=False, markup=False, soft_wrap=True)
    where = f"over {_count(folds, 'fold')}"
    labels = {name: result.label(name) for name in result.models}
    scores = result.scores.replace({"model": labels})
    terminal.print(scores_table(scores, tuple(labels.values()), where.capitalize()))
    choices = dict.fromkeys(choice.sentence() for made in result.choices.values() for choice in made)
    for sentence in (*result.notes, *choices):
        terminal.print(sentence)
    if len(labels) > 1:
        terminal.print(f"Best of {', '.join(labels)}: {labels[result.best]}.")
    terminal.print(verdict(scores, labels[result.best], where))

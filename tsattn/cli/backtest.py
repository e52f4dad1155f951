"""``tsattn backtest``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from tsattn.cli.options import baseline_option, config_options, console, quiet_start, read_config

if TYPE_CHECKING:
    from tsattn.config import RunConfig
    from tsattn.evaluation.backtest import Backtest, Refit
    from tsattn.evaluation.origins import BacktestPlan


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--origins", type=click.IntRange(1), default=5, show_default=True, help="How many times to forecast.")
@click.option("--step", type=click.IntRange(1), help="Steps between them [default: the horizon, less for short data].")
@click.option(
    "--refit",
    type=click.Choice(["never", "every"]),
    default="never",
    show_default=True,
    help="Train once, before the first origin, or before every one.",
)
@baseline_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="CSV, Parquet or JSON file for all the forecasts.")
@click.option("--overwrite", is_flag=True, help="Replace that file if it is there.")
@config_options
def backtest(
    data: Path,
    origins: int,
    step: int | None,
    refit: Refit,
    baselines: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Forecast the past of DATA and score it.

    The last forecast begins a horizon before the end of each series, the others --step before one another; each sees
    only what lies before it. The naive baselines stand beside the model. Without --model that is the network, or where
    it is no better a naive baseline, as in `tsattn fit`.
    """
    from tsattn.cli.output import check_file, write_frame
    from tsattn.cli.tables import reading
    from tsattn.data import load
    from tsattn.evaluation.classical import check_classical
    from tsattn.evaluation.origins import plan_backtest

    config = read_config(**given)
    if out is not None:
        check_file(out, overwrite=overwrite)
    check_classical(baselines)
    terminal = console()
    panel, schema = load(data, config.data)
    plan = plan_backtest(panel, schema, config.data, origins, step, str(data))
    terminal.print(reading(plan.schema, panel))
    terminal.print(_told(plan, refit, given_step=step is not None))
    result = _run(plan, refit, config, baselines)
    _print(result, origins)
    if out is not None:
        write_frame(result.forecasts, out)
        terminal.print(f"\nWritten: {out} with {len(result.forecasts)} rows.")


def _run(plan: BacktestPlan, refit: Refit, config: RunConfig, baselines: Sequence[str]) -> Backtest:
    """Return what the backtest found."""
    terminal = console()
    with quiet_start():
        from tsattn.forecaster import Forecaster
        from tsattn.training.progress import ProgressBar

    forecaster = Forecaster.from_config(config)
    return forecaster.backtest_plan(
        plan, refit=refit, watch=lambda title: ProgressBar(terminal, title), baselines=baselines
    )


def _told(plan: BacktestPlan, refit: str, *, given_step: bool) -> str:
    """Return where the series are cut, in a few lines."""
    from tsattn.data.place import shown

    cutoffs, horizon, lengths = plan.cutoffs, plan.schema.horizon, plan.training().lengths
    first, last = cutoffs.iloc[0], cutoffs.iloc[-1]
    span = list(dict.fromkeys(shown(stamp) for stamp in (cutoffs["first"].min(), cutoffs["last"].max())))
    ends = f"histories end from {span[0]} to {span[-1]}" if len(span) > 1 else f"the history ends at {span[0]}"
    apart = f", {_count(plan.step, 'step')} apart" if len(plan) > 1 else ""
    lines = [f"{_count(len(plan), 'origin')}{apart}: {ends}; the forecast is what follows, {_count(horizon, 'step')}."]
    if plan.step < horizon and len(plan) > 1:
        why = "" if given_step else f"The data are too short for {horizon} steps between them: "
        lines.append(f"{why}the forecasts overlap." if why else "The forecasts overlap.")
    known = " to ".join(dict.fromkeys([str(lengths.min()), str(lengths.max())]))
    often = {"never": "Trained once, on the {} steps before the first origin."}
    often["every"] = "Trained anew before every origin, on {} steps before the first."
    lines.append(often[refit].format(known))
    if first["left_out"]:
        total = first["left_out"] + first["series"]
        lines.append(
            f"Left out, being too short: {first['left_out']} of {total} series at the first origin, "
            f"{last['left_out']} at the last."
        )
    return "\n".join(lines)


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _print(result: Backtest, origins: int) -> None:
    """Print the result on standard output."""
    from tsattn.cli.tables import scores_table
    from tsattn.evaluation.verdict import verdict

    terminal = Console(highlight=False, markup=False, soft_wrap=True)
    where = f"over {_count(origins, 'origin')}"
    scores = result.scores.replace({"model": {result.model: result.label}})
    terminal.print(scores_table(scores, result.label, where.capitalize()))
    for sentence in (*result.notes, *dict.fromkeys(choice.sentence() for choice in result.choices)):
        terminal.print(sentence)
    terminal.print(verdict(scores, result.label, where))

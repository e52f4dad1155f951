"""``python -m benchmarks.classical``: AutoETS and AutoTheta of `statsforecast` on M4 Hourly, next to the default.

They are fitted to each training series, as in `tsattn backtest --baseline autoets`, and scored as in the accuracy
benchmark. Writes `benchmarks/results/classical.json` and its table `classical.md`, with the figures of the default from
`benchmarks/results/accuracy`.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.accuracy.intervals import IntervalErrors
from benchmarks.accuracy.markdown import format_figure, text_table
from benchmarks.accuracy.plan import read_plan
from benchmarks.accuracy.scores import m4_scale, m4_scores
from benchmarks.accuracy.store import Store
from benchmarks.accuracy.tables import OTHER_WORK, select_entries
from benchmarks.accuracy.tasks import M4_HORIZON, M4_SEASON, TEST
from benchmarks.cli import TABLE_ONLY, data_folder, read_results, write_results
from tsattn.data.loader import load
from tsattn.scoring.comparison import classical_forecasters
from tsattn.scoring.window_forecaster import CLASSICAL
from tsattn.timeseries.windows import WindowSpec

RESULTS = Path(__file__).with_name("results") / "classical.json"
LEVELS = (0.1, 0.5, 0.9)
ABOUT = (
    "One forecast of 48 steps per series, from its training part alone. In 80 %: coverage of the 80 % interval; "
    "Winkler: its interval score divided by the seasonal naive error within each series; WQL: weighted quantile loss "
    "over the levels .1, .5, .9."
)
NAMES = {"owa": "OWA", "smape": "sMAPE", "mase": "MASE", "coverage": "in 80 %", "winkler": "Winkler", "wql": "WQL"}


def measure(name: str, series: int | None) -> dict[str, Any]:
    """Return the figures of a classical baseline on M4 Hourly."""
    folder = data_folder() / "M4"
    train = pd.read_csv(folder / "Hourly-train.csv", nrows=series)
    actual = pd.read_csv(folder / "Hourly-test.csv", nrows=series).iloc[:, 1:].to_numpy(float)
    panel, _ = load(train)
    spec = WindowSpec(M4_SEASON, M4_HORIZON, panel.targets, M4_SEASON, LEVELS)
    forecaster = classical_forecasters([name], panel, spec)[name]
    begin = time.monotonic()
    forecasts = forecaster.forecast(panel, np.arange(len(panel)), panel.lengths)
    seconds = round(time.monotonic() - begin, 1)
    # This process alone causes a load of 1; averaged over the last minutes.
    disturbed = os.getloadavg()[2] > 1.5
    order = {unique_id: index for index, unique_id in enumerate(panel.ids)}
    rows = np.array([order[str(unique_id)] for unique_id in train.iloc[:, 0]])
    history = [panel.series[row][:, 0].astype(float) for row in rows]
    quantiles = forecasts.quantiles[rows, :, 0]
    errors = IntervalErrors(LEVELS)
    errors.add(quantiles, actual, m4_scale(history)[:, None])
    return {
        **m4_scores(history, actual, quantiles[..., spec.median]),
        **errors.figures(),
        "seconds": seconds,
        "disturbed": disturbed,
        "failed": forecasts.failures.failed,
    }


def render(results: dict[str, Any]) -> str:
    """Return the table as Markdown, with a row for the default."""
    lines = []
    shown = next(shown for shown in read_plan().table if shown.kind == "interval")
    entry = select_entries(shown, shown.configured_variants[0], Store().results(TEST), TEST).get("m4-hourly")
    if entry is not None:
        means = [statistics.fmean(values) for values in entry.figures(list(NAMES))]
        lines.append(["tsattn", *map(format_figure, means), "see accuracy.md"])
    for name, figures in results.items():
        mark = "\\*" if figures["disturbed"] else ""
        cells = [format_figure(figures[metric]) for metric in NAMES]
        lines.append([CLASSICAL[name], *cells, f"{figures['seconds']:.0f} s{mark}"])
    rows = text_table(["", *NAMES.values(), "time"], lines)
    return f"# Classical forecasts of M4 Hourly\n\n{ABOUT}\n\n{rows}\n{OTHER_WORK}"


@click.command(help=__doc__)
@click.option("--model", "models", multiple=True, type=click.Choice(list(CLASSICAL)), default=["autoets", "autotheta"])
@click.option("--series", type=click.IntRange(1), help="Only the first series; writes no files.")
@TABLE_ONLY
def main(models: tuple[str, ...], series: int | None, table_only: bool) -> None:
    """Measure and write the results."""
    results = read_results(RESULTS)
    for name in () if table_only else models:
        results[name] = measure(name, series)
        click.echo(f"{name}: {results[name]}")
    if series is None:
        write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()

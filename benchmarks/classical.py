"""``python -m benchmarks.classical``: classical forecasts of M4 Hourly by `statsforecast`, beside the default's.

Fitted to each training series by itself, as `tsattn backtest --baseline autoets` has them, and scored as the accuracy
benchmark scores the network. Writes `benchmarks/results/classical.json` and the table of it, `classical.md`, with the
default's figures as they stand in `benchmarks/results/accuracy`.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.accuracy.intervals import IntervalErrors
from benchmarks.accuracy.markdown import short, table, text
from benchmarks.accuracy.options import data_folder
from benchmarks.accuracy.plan import read_plan
from benchmarks.accuracy.scores import m4_scale, m4_scores
from benchmarks.accuracy.store import Store
from benchmarks.accuracy.tables import entries_of
from benchmarks.accuracy.tasks import M4_HORIZON, M4_SEASON, TEST
from tsattn.data.loader import load
from tsattn.scoring.classical import CLASSICAL
from tsattn.scoring.comparison import classical_forecasters
from tsattn.timeseries.window_spec import WindowSpec

RESULTS = Path(__file__).with_name("results") / "classical.json"
LEVELS = (0.1, 0.5, 0.9)
ABOUT = (
    "One forecast of 48 steps a series, by its training part alone. In 80 %: share of values within the 80 % interval; "
    "Winkler: its interval score in units of the seasonal naive error within each series; WQL: weighted quantile loss "
    "over the levels .1, .5, .9."
)
NAMES = {"owa": "OWA", "smape": "sMAPE", "mase": "MASE", "coverage": "in 80 %", "winkler": "Winkler", "wql": "WQL"}


def measure(name: str, series: int | None) -> dict[str, Any]:
    """Return the figures of a classical baseline on M4 Hourly."""
    folder = data_folder() / "M4"
    train = pd.read_csv(folder / "Hourly-train.csv", nrows=series)
    actual = pd.read_csv(folder / "Hourly-test.csv", nrows=series).iloc[:, 1:].to_numpy(float)
    panel, _ = load(train)
    history = [panel.series[index][:, 0].astype(float) for index in range(len(panel))]
    spec = WindowSpec(M4_SEASON, M4_HORIZON, panel.targets, M4_SEASON, LEVELS)
    forecaster = classical_forecasters([name], panel, spec)[name]
    begin = time.monotonic()
    forecasts = forecaster.forecast(panel, np.arange(len(panel)), panel.lengths)
    quantiles = forecasts.quantiles[:, :, 0]
    seconds = round(time.monotonic() - begin, 1)
    # One process of its own, averaged over the last minutes.
    disturbed = os.getloadavg()[2] > 1.5
    order = {unique_id: index for index, unique_id in enumerate(panel.ids)}
    rows = np.array([order[str(unique_id)] for unique_id in train.iloc[:, 0]])
    known = [history[row] for row in rows]
    errors = IntervalErrors(LEVELS)
    errors.add(quantiles[rows], actual, m4_scale(known)[:, None])
    scores = m4_scores(known, actual, quantiles[rows][..., spec.median])
    return {
        **scores,
        **errors.figures(),
        "seconds": seconds,
        "disturbed": disturbed,
        "failed": forecasts.failures.failed,
    }


def written(results: dict[str, dict[str, Any]]) -> str:
    """Return the table, with the default's row."""
    lines = []
    shown = next(shown for shown in read_plan().table if shown.kind == "interval")
    entry = entries_of(shown, shown.ours[0], Store().results(TEST), TEST).get("m4-hourly")
    if entry is not None:
        means = [statistics.fmean(values) for values in entry.figures(list(NAMES))]
        lines.append([text("tsattn"), *(text(short(mean)) for mean in means), text("see accuracy.md")])
    for name, figures in results.items():
        cells = [text(short(figures[metric])) for metric in NAMES]
        mark = "\\*" if figures["disturbed"] else ""
        lines.append([text(CLASSICAL[name]), *cells, text(f"{figures['seconds']:.0f} s{mark}")])
    rows = table(["", *NAMES.values(), "time"], lines)
    return f"# Classical forecasts of M4 Hourly\n\n{ABOUT}\n\n{rows}\n\\* beside other work, which makes it slower.\n"


@click.command(help=__doc__)
@click.option("--model", "models", multiple=True, type=click.Choice(list(CLASSICAL)), default=["autoets", "autotheta"])
@click.option("--series", type=click.IntRange(1), help="Only the first series; nothing is written then.")
@click.option("--table", "only_table", is_flag=True, help="Measure nothing; write the table from what is there.")
def main(models: tuple[str, ...], series: int | None, only_table: bool) -> None:
    """Measure and write."""
    results: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in () if only_table else models:
        results[name] = measure(name, series)
        click.echo(f"{name}: {results[name]}")
    if series is None:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        RESULTS.with_suffix(".md").write_text(written(results))


if __name__ == "__main__":
    main()

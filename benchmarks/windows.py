"""``python -m benchmarks.windows``: rate at which windows are gathered, and at which the default trains on them.

Synthetic hourly series of the sizes of two benchmarks: a long one with seven channels, and several hundred short ones.
Batches and network are those of the default. The network uses all cores, the windows one thread. At a ratio of 10,
training that gathers its batches in between waits for them a tenth of the time.

Writes `benchmarks/results/windows.json` and its table `windows.md`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, read_results, write_results
from tsattn.config import DataConfig, RunConfig
from tsattn.data.loader import load

RESULTS = Path(__file__).with_name("results") / "windows.json"
SIZES = {"as ETTh1": (1, 17_420, 7), "as M4 Hourly": (414, 900, 1)}
"""Number of series, steps per series, and channels."""


def make_frame(series: int, steps: int, channels: int) -> pd.DataFrame:
    """Return synthetic series: a daily season and noise."""
    rng = np.random.default_rng(0)
    season = 10 * np.sin(np.arange(steps) * 2 * np.pi / 24)
    values = 100 + np.tile(season, series)[:, None] + rng.normal(0, 1, (series * steps, channels)).cumsum(axis=1)
    data = pd.DataFrame(values, columns=[f"y{number}" for number in range(channels)])
    data.insert(0, "ds", np.tile(pd.date_range("2020-01-01", periods=steps, freq="h"), series))
    if series > 1:
        data.insert(0, "unique_id", np.repeat([f"S{number}" for number in range(series)], steps))
    return data


def measure(data: pd.DataFrame, batches: int) -> dict[str, float]:
    """Return the number of windows per second that are gathered, and that are trained on."""
    import keras

    from tsattn.forecasting.fit import window_sizes
    from tsattn.models import resolve_options
    from tsattn.models.defaults import DataSummary, default_patch_length, fill_options
    from tsattn.models.forecast_model import build_graph
    from tsattn.models.options import NetworkOptions
    from tsattn.timeseries.windows import WindowSpec
    from tsattn.training.batches import ShuffledWindows
    from tsattn.training.defaults import error_scales, plan_training, scaling_statistics, training_windows
    from tsattn.training.trainer import training_model

    config = RunConfig()
    panel, schema = load(data, DataConfig(horizon=48))
    context, steps = window_sizes(config, panel, schema, "generated data")
    spec = WindowSpec.from_schema(schema, config, context)
    panel = panel.drop_last(steps)
    entry, options = resolve_options(config.model)
    assert isinstance(options, NetworkOptions)
    graph = build_graph(entry, fill_options(options, spec.season, DataSummary.of(panel, spec)), spec)
    graph.scaling.fit(*scaling_statistics(panel))
    windows = training_windows(panel, spec, default_patch_length(spec.season))
    size = plan_training(config.training, windows, graph.channels).batch_size
    shuffled = ShuffledWindows(windows, size, batches, 0, error_scales(panel), graph.context_lengths)
    model = training_model(graph)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    for number in range(2):
        model.train_on_batch(shuffled[number][0])
    start = time.perf_counter()
    for number in range(batches):
        shuffled[number]
    gathering = time.perf_counter() - start
    ready = [shuffled[number][0] for number in range(batches)]
    start = time.perf_counter()
    for batch in ready:
        model.train_on_batch(batch)
    training = time.perf_counter() - start
    gathered, trained = (round(size * batches / seconds, 1) for seconds in (gathering, training))
    return {"batch": size, "made": gathered, "trained": trained, "ratio": round(training / gathering, 1)}


def render(results: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    about = (__doc__ or "").split("\n\n")[1]
    head = ("data", "windows per batch", "gathered per second", "trained on per second", "ratio")
    lines = [(name, *(f"{value:,}" for value in found.values())) for name, found in results.items()]
    return f"# Windows\n\n{about}\n\n{text_table(head, lines)}"


@click.command()
@click.option("--batches", default=50, show_default=True, help="Batches to gather and to train on.")
@TABLE_ONLY
def main(batches: int, table_only: bool) -> None:
    """Measure the gathering of windows."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    results = read_results(RESULTS)
    for name, (series, steps, channels) in () if table_only else SIZES.items():
        results[name] = measure(make_frame(series, steps, channels), batches)
        click.echo(f"{name}: {results[name]}")
    write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()

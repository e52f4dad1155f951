"""``python -m benchmarks.windows``: how fast batches of windows are made, beside how fast the default trains on them.

Generated series of the sizes of two benchmarks, hourly: a long one with seven channels, and several hundred short ones.
The batches and the network are those of a training by default; the network has all cores, the windows one thread. At a
ratio of 10 a training that makes its batches in between waits for them a tenth of its time.

Writes `benchmarks/results/windows.json` and the table of it, `windows.md`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd

from tsattn.config import DataConfig, RunConfig
from tsattn.data.loader import load

RESULTS = Path(__file__).with_name("results") / "windows.json"
SIZES = {"as ETTh1": (1, 17_420, 7), "as M4 Hourly": (414, 900, 1)}
"""Series, steps of each and channels."""


def frame(series: int, steps: int, channels: int) -> pd.DataFrame:
    """Return generated series: a daily season and noise."""
    rng = np.random.default_rng(0)
    season = 10 * np.sin(np.arange(steps) * 2 * np.pi / 24)
    values = 100 + np.tile(season, series)[:, None] + rng.normal(0, 1, (series * steps, channels)).cumsum(axis=1)
    data = pd.DataFrame(values, columns=[f"y{number}" for number in range(channels)])
    data.insert(0, "ds", np.tile(pd.date_range("2020-01-01", periods=steps, freq="h"), series))
    if series > 1:
        data.insert(0, "unique_id", np.repeat([f"S{number}" for number in range(series)], steps))
    return data


def rates(data: pd.DataFrame, batches: int) -> dict[str, float]:
    """Return how many windows a second are made, and are trained on."""
    import keras

    from tsattn.forecasting.fit import window_sizes
    from tsattn.models.defaults import DataSummary, default_patch_length, fill_options
    from tsattn.models import resolve_options
    from tsattn.models.forecast_model import build_graph
    from tsattn.models.options import NetworkOptions
    from tsattn.training.batches import ShuffledWindows
    from tsattn.training.defaults import error_scales, plan_training, scaling_statistics, training_windows
    from tsattn.training.losses import training_model
    from tsattn.timeseries.window_spec import WindowSpec

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
    made = ShuffledWindows(windows, size, batches, 0, error_scales(panel), graph.context_lengths)
    model = training_model(graph)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    for number in range(2):
        model.train_on_batch(made[number][0])
    start = time.perf_counter()
    for number in range(batches):
        made[number]
    making = time.perf_counter() - start
    ready = [made[number][0] for number in range(batches)]
    start = time.perf_counter()
    for batch in ready:
        model.train_on_batch(batch)
    training = time.perf_counter() - start
    made_rate, trained_rate = (round(size * batches / seconds, 1) for seconds in (making, training))
    return {"batch": size, "made": made_rate, "trained": trained_rate, "ratio": round(training / making, 1)}


@click.command()
@click.option("--batches", default=50, show_default=True, help="Batches that are made and trained on.")
def main(batches: int) -> None:
    """Measure the delivery of windows."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    results = {}
    for name, (series, steps, channels) in SIZES.items():
        results[name] = rates(frame(series, steps, channels), batches)
        click.echo(f"{name}: {results[name]}")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    lines = ["# Windows", "", *(__doc__ or "").split("\n\n")[1].splitlines(), ""]
    head = ("data", "windows in a batch", "made a second", "trained a second", "ratio")
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {name} | {' | '.join(f'{value:,}' for value in found.values())} |" for name, found in results.items()]
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

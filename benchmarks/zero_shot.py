"""``python -m benchmarks.zero_shot``: forecasts without training, each series by itself.

The exponential smoothings, the pretrained network, and their combination, which `tsattn forecast` gives. MASE by the
seasonal naive error of each history, mean over the series; quantile loss (WQL, .1 to .9) relative to the seasonal naive
forecast; coverage of 80 % intervals, in all and in each third of the horizon. M4 Hourly also has the OWA of the
competition, ETT mean squared and absolute errors of standardized values, Los-loop the RMSE after 15, 30, 45 and 60
minutes, relative to the last value.

M1 and M4: after the end of each series. ETT: every 29th origin of the test part of ETTh1, every 97th of ETTm1, 7
channels, horizon 96, histories of 2,500 values. Los-loop: every sixth sensor, every 60th origin. Classic files: the
last five origins, a horizon apart, or half of one in short files.

Writes `benchmarks/results/zero_shot.json` and its table `zero_shot.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.accuracy.ett import read_ett
from benchmarks.accuracy.markdown import text_table
from benchmarks.accuracy.scores import m4_scores
from benchmarks.accuracy.tasks import M4_HORIZON, ROADS_TRAIN
from benchmarks.cli import TABLE_ONLY, data_folder, read_results, write_results
from tsattn import smoothing
from tsattn.data.loader import load
from tsattn.pretrained import zero_shot
from tsattn.pretrained.features import compute_features
from tsattn.pretrained.network import decode, encode, level_weights, read_weights

RESULTS = Path(__file__).with_name("results") / "zero_shot.json"
LEVELS = tuple(number / 10 for number in range(1, 10))
MEDIAN = LEVELS.index(0.5)
METHODS = ("smoothings", "network", "both")
M1 = {"yearly": (6, 1), "quarterly": (8, 4), "monthly": (18, 12)}
CLASSIC = {"Airline": 24, "co2": 104, "elnino": 24, "macrodata": 8, "nile": 10, "solar": 48, "sunspots": 10}

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """Series to forecast.

    Args:
        name: Name of the set.
        history: Values of each series, NaN where missing.
        actual: Values after them, `(series, horizon)`.
        seasons: Season lengths, shortest first.
    """

    name: str
    history: list[Values]
    actual: Values
    seasons: tuple[int, ...]

    @property
    def horizon(self) -> int:
        """Steps to forecast."""
        return int(self.actual.shape[1])

    @property
    def scale(self) -> Values:
        """Seasonal naive error of each history; that of the naive forecast if it is 0 or unknown."""
        lag = self.seasons[0] if self.seasons else 1
        errors = (_mean_change(values, lag) or _mean_change(values, 1) or np.nan for values in self.history)
        return np.array(list(errors))

    def seasonal_naive(self) -> Values:
        """Return the last season, repeated."""
        steps = np.arange(self.horizon)
        filled = (pd.Series(values).ffill().bfill().to_numpy() for values in self.history)
        lags = ((self.seasons[0] if self.seasons else 1, values) for values in filled)
        return np.stack([values[-min(lag, len(values)) :][steps % min(lag, len(values))] for lag, values in lags])


def _mean_change(values: Values, lag: int) -> float:
    changes = np.abs(values[lag:] - values[:-lag])
    return float(np.nanmean(changes)) if np.isfinite(changes).any() else 0.0


def problems(folder: Path) -> Iterator[Problem]:
    """Yield the sets of the benchmark."""
    for name, (horizon, season) in M1.items():
        yield read_m1(folder / "M1" / "M1.csv", name, horizon, season)
    yield read_m4(folder / "M4")
    yield read_ett_windows(folder / "ETT" / "ETTh1.csv", 60, 29)
    yield read_ett_windows(folder / "ETT" / "ETTm1.csv", 15, 97)
    yield read_roads(folder / "los_loop" / "los_speed.csv")
    for name, horizon in CLASSIC.items():
        yield read_classic(folder / "classic" / f"{name}.csv", horizon)


def read_m1(file: Path, group: str, horizon: int, season: int) -> Problem:
    """Return the series of a frequency of M1."""
    frame = pd.read_csv(file)
    frame = frame[frame["group"] == group]
    parts = [
        [rows["y"].to_numpy(float) for _, rows in frame[frame["part"] == part].groupby("unique_id")]
        for part in ("train", "test")
    ]
    return Problem(f"M1 {group}", parts[0], np.stack(parts[1])[:, :horizon], (season,) if season > 1 else ())


def read_m4(folder: Path) -> Problem:
    """Return the hourly series of M4."""
    rows = pd.read_csv(folder / "Hourly-train.csv").iloc[:, 1:].to_numpy(float)
    actual = pd.read_csv(folder / "Hourly-test.csv").iloc[:, 1:].to_numpy(float)
    return Problem("M4 Hourly", [row[np.isfinite(row)] for row in rows], actual[:, :M4_HORIZON], (24, 168))


def read_ett_windows(file: Path, minutes: int, step: int, horizon: int = 96, length: int = 2500) -> Problem:
    """Return windows of the test part of an ETT file."""
    day = 24 * 60 // minutes
    month = 30 * day
    values = read_ett(file, 20 * month, 12 * month).iloc[:, 1:].to_numpy(float)
    origins = range(16 * month, len(values) - horizon + 1, step)
    windows = [(origin, channel) for origin in origins for channel in range(values.shape[1])]
    history = [values[max(origin - length, 0) : origin, channel] for origin, channel in windows]
    actual = np.stack([values[origin : origin + horizon, channel] for origin, channel in windows])
    return Problem(file.stem, history, actual, (day, 7 * day))


def read_roads(file: Path, horizon: int = 12) -> Problem:
    """Return windows of the test part of Los-loop."""
    values = pd.read_csv(file).to_numpy(float)[:, ::6]
    origins = range(ROADS_TRAIN + horizon, len(values) - horizon + 1, 60)
    windows = [(origin, sensor) for origin in origins for sensor in range(values.shape[1])]
    history = [values[:origin, sensor] for origin, sensor in windows]
    actual = np.stack([values[origin : origin + horizon, sensor] for origin, sensor in windows])
    return Problem("Los-loop", history, actual, (288,))


def read_classic(file: Path, horizon: int) -> Problem:
    """Return the last five origins of each column of a file."""
    panel, schema = load(str(file))
    step = horizon if len(panel.values) > 12 * horizon else horizon // 2
    ends = [len(panel.values) - horizon - step * number for number in range(5)]
    columns = panel.values.T.astype(float)
    history = [column[:end] for column in columns for end in ends]
    actual = np.stack([column[end : end + horizon] for column in columns for end in ends])
    return Problem(file.stem, history, actual, (schema.season,) if schema.season > 1 else ())


def network_forecast(problem: Problem) -> Values:
    """Return the quantiles of the network alone, in batches."""
    layout = zero_shot.network_layout(problem.horizon, problem.seasons, max(map(len, problem.history)))
    weights = read_weights()

    def forecast(batch: Any) -> Values:
        features = compute_features(np, *smoothing.forecasts.right_aligned(batch, layout.length), layout)
        quantiles = decode(weights, encode(weights, features), features, layout).quantiles[:, 0]
        return np.asarray(quantiles @ level_weights(LEVELS))

    return np.concatenate(smoothing.forecasts.map_batches(forecast, problem.history, 64))


FORECASTS: dict[str, Callable[[Problem], Values]] = {
    "smoothings": lambda problem: (
        smoothing.forecast_series(problem.history, problem.horizon, problem.seasons, LEVELS).quantiles
    ),
    "network": network_forecast,
    "both": lambda problem: (
        zero_shot.forecast_series(problem.history, problem.horizon, problem.seasons, LEVELS).quantiles
    ),
}


def quantile_loss(actual: Values, quantiles: Values) -> float:
    """Return the mean pinball loss over levels, times two, per absolute value."""
    error = actual[..., None] - quantiles
    levels = np.array(LEVELS)
    loss = np.maximum(levels * error, (levels - 1) * error)
    return float(2 * np.nansum(loss) / len(LEVELS) / np.nansum(np.abs(actual)))


def score(problem: Problem, quantiles: Values) -> dict[str, Any]:
    """Return the scores of a forecast, `(series, horizon, levels)`."""
    actual, median = problem.actual, quantiles[..., MEDIAN]
    error = actual - median
    naive, scale = problem.seasonal_naive(), problem.scale

    def mean_error(errors: Values) -> float:
        return float(np.nanmean(np.nanmean(np.abs(errors), axis=1) / scale))

    is_inside = np.where(np.isfinite(actual), (actual >= quantiles[..., 0]) & (actual <= quantiles[..., -1]), np.nan)
    scores = {
        "mase": mean_error(error),
        "relative_mase": mean_error(error) / mean_error(actual - naive),
        "relative_wql": quantile_loss(actual, quantiles) / quantile_loss(actual, naive[..., None]),
        "coverage": [
            float(np.nanmean(part)) for part in (is_inside, *np.array_split(is_inside, min(3, problem.horizon), axis=1))
        ],
    }
    if problem.name == "M4 Hourly":
        scores["owa"] = m4_scores(problem.history, actual, median)["owa"]
    if problem.name.startswith("ETT"):
        scores |= {"mse": float(np.mean(error**2)), "mae": float(np.mean(np.abs(error)))}
    if problem.name == "Los-loop":
        last = actual - np.array([values[-1] for values in problem.history])[:, None]
        scores["relative_rmse"] = [
            float(np.sqrt(np.mean(error[:, :steps] ** 2) / np.mean(last[:, :steps] ** 2))) for steps in (3, 6, 9, 12)
        ]
    return scores


def render(results: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    about = (__doc__ or "").partition("\n\n")[2].rpartition("\n\n")[0]
    lines = []
    for name, found in results.items():
        cells = [f"{found[method]['mase']:.3f} ({found[method]['coverage'][0]:.2f})" for method in METHODS]
        both = found["both"]
        thirds = " ".join(f"{part:.2f}" for part in both["coverage"][1:])
        lines.append((name, *cells, f"{both['relative_mase']:.3f}", f"{both['relative_wql']:.3f}", thirds))
    head = ("set", *(f"{name}, MASE" for name in METHODS), "both: MASE / naive", "WQL / naive", "coverage by third")
    groups = {"M1": [name for name in results if name.startswith("M1")], "all sets": list(results)}
    means = [
        (
            name,
            *(f"{_geometric_mean(results, members, method, 'relative_mase'):.4f}" for method in METHODS),
            *(f"{_geometric_mean(results, members, method, 'relative_wql'):.4f}" for method in METHODS),
        )
        for name, members in groups.items()
    ]
    mean_head = ("geometric mean", *(f"MASE, {name}" for name in METHODS), *(f"WQL, {name}" for name in METHODS))
    others = [
        (name, metric, *(_format(found[method][metric]) for method in METHODS))
        for name, found in results.items()
        for metric in ("owa", "mse", "mae", "relative_rmse")
        if metric in found["both"]
    ]
    tables = [text_table(head, lines), text_table(mean_head, means), text_table(("set", "metric", *METHODS), others)]
    return f"# Forecasts without training\n\n{about}\n\n" + "\n".join(tables)


def _geometric_mean(results: dict[str, Any], names: list[str], method: str, metric: str) -> float:
    return float(np.exp(np.mean([np.log(results[name][method][metric]) for name in names])))


def _format(value: float | list[float]) -> str:
    return " ".join(f"{part:.3f}" for part in (value if isinstance(value, list) else [value]))


@click.command()
@TABLE_ONLY
def main(table_only: bool) -> None:
    """Measure the forecasts without training; needs TSATTN_DATA_DIR."""
    results = read_results(RESULTS)
    if not table_only:
        for problem in problems(data_folder()):
            results[problem.name] = {method: score(problem, FORECASTS[method](problem)) for method in METHODS}
            found = results[problem.name]
            click.echo(f"{problem.name}: " + ", ".join(f"{method} {found[method]['mase']:.4f}" for method in METHODS))
    write_results(RESULTS, results, render(results))


if __name__ == "__main__":
    main()

"""The default forecaster on two public benchmarks: ETTh1 (horizon 96, look-back 720) and M4 Hourly.

    TSATTN_DATA_DIR=... python benchmarks/first_figures.py etth1 --seed 0
    TSATTN_DATA_DIR=... python benchmarks/first_figures.py m4 --seed 0

Prints one JSON object with the figures, the naive ones beside them, wall time, peak memory and machine, and adds it to
``benchmarks/results/first_figures.jsonl``. Nothing is chosen on the test part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsattn.data import load
from tsattn.data.windows import Windows
from tsattn.evaluation.predict import predict_windows
from tsattn.forecaster import Forecaster

RESULTS = Path(__file__).parent / "results" / "first_figures.jsonl"


def etth1(data: Path, seed: int) -> dict[str, Any]:
    """Standardised MSE and MAE over every window of the test part, 4 months of 30 days; trained on the first 12.

    The 4 months between choose the number of epochs; no refit, so that the figures are those of the protocol.
    """
    horizon, context, train, validation, test = 96, 720, 8640, 2880, 2880
    frame = pd.read_csv(data / "ETT" / "ETTh1.csv").iloc[: train + validation + test]
    values = frame.iloc[:, 1:]
    frame[values.columns] = (values - values[:train].mean()) / values[:train].std(ddof=0)
    forecaster = Forecaster(
        horizon=horizon, context=context, validation=validation, seed=seed, training={"refit": False}
    ).fit(frame.iloc[: train + validation])
    panel, _ = load(frame, schema=forecaster.schema_)
    windows = Windows.over_last(panel, forecaster.spec_, test)
    series, origin = windows.locate(np.arange(len(windows)))
    quantiles = predict_windows(forecaster.model_, forecaster.spec_, panel, series, origin)
    actual = np.stack([panel.values[begin : begin + horizon] for begin in origin])
    error = quantiles[..., forecaster.spec_.median] - actual
    daily = np.stack([np.resize(panel.values[begin - 24 : begin], (horizon, 7)) for begin in origin]) - actual
    return {
        "mse": float(np.mean(error**2)),
        "mae": float(np.mean(np.abs(error))),
        "seasonal_naive": {"mse": float(np.mean(daily**2)), "mae": float(np.mean(np.abs(daily)))},
        "windows": len(windows),
        "epochs": forecaster.history_.chosen,
    }


def m4(data: Path, seed: int) -> dict[str, Any]:
    """SMAPE, MASE and OWA of one forecast a series, by the competition's definitions, from the training file alone."""
    forecaster = Forecaster(seed=seed).fit(data / "M4" / "Hourly-train.csv")
    horizon, season = forecaster.spec_.horizon, forecaster.spec_.season
    forecast = forecaster.predict()["y"].to_numpy().reshape(-1, horizon)
    actual = pd.read_csv(data / "M4" / "Hourly-test.csv").iloc[:, 1:].to_numpy(float)
    panel, _ = load(data / "M4" / "Hourly-train.csv", schema=forecaster.schema_)
    history = [panel.series(index)[:, 0].astype(float) for index in range(len(panel))]
    naive = np.stack([np.resize(values[-24:], horizon) for values in history])
    scale = np.array([np.abs(values[24:] - values[:-24]).mean() for values in history])
    scores = [_m4_scores(actual, guess, scale) for guess in (forecast, naive)]
    return {
        **scores[0],
        "seasonal_naive": scores[1],
        "horizon": horizon,
        "season": season,
        "context": forecaster.spec_.context,
        "epochs": forecaster.history_.chosen,
    }


def _m4_scores(actual: np.ndarray, forecast: np.ndarray, scale: np.ndarray) -> dict[str, float]:
    smape = float(np.mean(200 * np.abs(actual - forecast) / (np.abs(actual) + np.abs(forecast))))
    mase = float(np.mean(np.abs(actual - forecast).mean(axis=1) / scale))
    return {"smape": smape, "mase": mase, "owa": (smape / 18.383 + mase / 2.395) / 2}


def main() -> None:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=["etth1", "m4"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begin = time.monotonic()
    figures = {"etth1": etth1, "m4": m4}[arguments.benchmark](Path(os.environ["TSATTN_DATA_DIR"]), arguments.seed)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    record = {
        "benchmark": arguments.benchmark,
        "seed": arguments.seed,
        **figures,
        "seconds": round(time.monotonic() - begin),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "commit": commit.stdout.strip(),
    }
    print(json.dumps(record, indent=2))
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

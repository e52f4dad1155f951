"""``python -m benchmarks.scale``: forecasts of many series in several processes, relative to one process.

Series of 100 daily values in Parquet files, forecast by `tsattn forecast` and by `tsattn predict` with a small network:
all files in one process on one core (by `taskset`), in one process, in two local processes, and on two workers of a Ray
cluster on this machine. One process uses all cores for the arithmetic, and two processes one core each. A command that
would gain nothing from other processes does not start them. The time is that from the command to the prompt; the
repetitions of all ways alternate.

With ``--fit``, `tsattn fit --time-limit 5m` for panels of the same number of rows in 10 to 1,000,000 series of hourly
values: the time from the command to the prompt, the rate of the training of the network, and the peak memory.

Writes `benchmarks/results/scale.json` and `docs/scale.md`, with a projection to more workers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.accuracy.markdown import text_table
from benchmarks.cli import TABLE_ONLY, read_results, write_results

RESULTS = Path(__file__).with_name("results") / "scale.json"
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
STEPS, HORIZON, FILES = 100, 14, 16
PANELS, ROWS = (10, 1_000, 100_000, 1_000_000), 10_000_000
"""Series of the panels that are fitted, and rows of each panel."""
TSATTN = [sys.executable, "-m", "tsattn"]
ONE_CORE = "one process on one core"
WAYS = {
    ONE_CORE: ("--jobs", "1"),
    "one process": ("--jobs", "1"),
    "two processes": ("--jobs", "2"),
    "two Ray workers": ("--ray", "local", "--jobs", "2"),
}


def write_series(folder: Path, count: int) -> None:
    """Write weekly patterns with noise into `FILES` files."""
    rng, days = np.random.default_rng(0), pd.date_range("2024-01-01", periods=STEPS)
    folder.mkdir()
    for number, ids in enumerate(np.array_split(np.arange(count), FILES)):
        season = rng.normal(0, 2, (len(ids), 7))[:, np.arange(STEPS) % 7]
        values = 20 + season + rng.normal(0, 1, (len(ids), STEPS))
        frame = {"unique_id": ids.repeat(STEPS).astype(str), "ds": np.tile(days, len(ids)), "y": values.ravel()}
        pd.DataFrame(frame).to_parquet(folder / f"{number:02}.parquet")


def seconds(*command: str, one_core: bool = False) -> float:
    """Return the seconds of a command of `tsattn`."""
    start = time.perf_counter()
    prefix = ["taskset", "-c", "0"] if one_core else []
    subprocess.run(
        [*prefix, *TSATTN, *command, "--quiet"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def measure(count: int, repeats: int) -> dict[str, Any]:
    """Return the minimum seconds of each command in each way, and those of one series, which are the start-up."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_series(folder / "data", count)
        write_series(folder / "few", FILES)
        settings = ("data.horizon=14", "training.epochs=2", "model.units=32")
        fit = [part for setting in settings for part in ("--set", setting)]
        seconds("fit", str(folder / "data" / "00.parquet"), "--model", "seq2seq", "-o", str(folder / "run"), *fit)
        commands: dict[str, Callable[[str], tuple[str, ...]]] = {
            "forecast": lambda data: ("forecast", str(folder / data), "--horizon", str(HORIZON)),
            "predict": lambda data: ("predict", str(folder / "run"), str(folder / data)),
        }
        results: dict[str, Any] = {}
        for name, command in commands.items():
            times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
            for number in range(repeats):
                for index, (way, options) in enumerate(WAYS.items()):
                    outs = {data: str(folder / f"{name}-{data}-{number}-{index}") for data in ("data", "few")}
                    pair = [
                        seconds(*command(data), *options, "-o", out, one_core=way == ONE_CORE)
                        for data, out in outs.items()
                    ]
                    times[way].append((pair[0], pair[1]))
                    click.echo(f"{name}, {way}: {pair}")
            results[name] = {
                way: {"seconds": min(pair[0] for pair in pairs), "start": min(pair[1] for pair in pairs)}
                for way, pairs in times.items()
            }
        sizes = {
            "bytes_read": folder_size(folder / "data"),
            "bytes_written": folder_size(folder / "forecast-data-0-0"),
        }
        return {
            "series": count,
            "steps": STEPS,
            "horizon": HORIZON,
            "files": FILES,
            "repeats": repeats,
            **results,
            **sizes,
        }


def write_panel(path: Path, count: int) -> None:
    """Write `ROWS` rows of hourly values with daily patterns, in ``count`` series."""
    rng, steps = np.random.default_rng(0), ROWS // count
    step = np.arange(steps)
    season = np.sin(2 * np.pi * (step + rng.integers(0, 24, (count, 1))) / 24)
    values = (20 + 4 * season + rng.normal(0, 1, (count, steps))).astype("float32").ravel()
    hours = np.tile(np.datetime64("1900-01-01", "h") + step, count).astype("datetime64[ms]")
    names = pd.CategoricalDtype(pd.Index(np.arange(count).astype(str)))
    ids = pd.Categorical.from_codes(np.arange(count).repeat(steps), dtype=names)
    pd.DataFrame({"unique_id": ids, "ds": hours, "y": values}).to_parquet(path)


def measure_fits() -> dict[str, dict[str, float]]:
    """Return seconds, peak memory in bytes, and windows a second of the training, by number of series."""
    results = {}
    for count in PANELS:
        with tempfile.TemporaryDirectory() as temporary:
            data, log = Path(temporary) / "panel.parquet", Path(temporary) / "log"
            write_panel(data, count)
            start = time.perf_counter()
            with log.open("w") as messages:
                command = [*TSATTN, "fit", str(data), "--time-limit", "5m", "-o", f"{temporary}/run", "--verbose"]
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages)
                _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise click.ClickException(log.read_text())
            rates = re.findall(r"Training: epoch .* ([\d,]+) windows/s", log.read_text())
            results[str(count)] = {
                "seconds": time.perf_counter() - start,
                "memory": usage.ru_maxrss * 1024,
                "rate": float(rates[-1].replace(",", "")),
            }
            click.echo(f"fit, {count}: {results[str(count)]}")
    return results


def folder_size(folder: Path) -> int:
    """Return the bytes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def project(results: dict[str, Any], series: int, workers: int) -> float:
    """Return the projected seconds of `tsattn forecast` on a Ray cluster with workers of one core each."""
    one, ray = results["forecast"][ONE_CORE], results["forecast"]["two Ray workers"]
    per_series = (one["seconds"] - one["start"]) / results["series"]
    cluster = max(ray["seconds"] - ray["start"] - results["series"] * per_series / 2, 0.0)
    return float(one["start"] + cluster + series * per_series / workers)


def render(results: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    rows = []
    for name in ("forecast", "predict"):
        one = results[name][ONE_CORE]["seconds"]
        for way, times in results[name].items():
            rate = results["series"] / times["seconds"]
            rows.append(
                [
                    name,
                    way,
                    f"{times['seconds']:.1f} s",
                    f"{times['start']:.1f} s",
                    f"{rate:,.0f}",
                    f"{one / times['seconds']:.2f}",
                ]
            )
    head = ["command", "", "time", f"with {FILES} series", "series a second", "speed relative to one core"]
    fits = [
        [
            f"{int(count):,}",
            f"{ROWS // int(count):,}",
            f"{found['seconds']:.0f} s",
            f"{found['rate']:,.0f}",
            f"{found['memory'] / 1e9:.1f} GB",
        ]
        for count, found in results.get("fit", {}).items()
    ]
    sizes = [results[key] / results["series"] for key in ("bytes_read", "bytes_written")]
    projected = [
        [
            f"{series:,}",
            f"{workers}",
            f"{project(results, series, workers) / 3600:.2f} h",
            *(f"{series * size / 1e9:.1f} GB" for size in sizes),
        ]
        for series in (1_000_000, 100_000_000)
        for workers in (1, 8, 64)
    ]
    return PAGE_TEXT.format(
        series=f"{results['series']:,}",
        steps=STEPS,
        files=FILES,
        horizon=HORIZON,
        repeats=results["repeats"],
        measured=text_table(head, rows),
        rows=f"{ROWS:,}",
        fits=text_table(["series", "steps of each", "time", "windows a second", "peak memory"], fits),
        projected=text_table(["series", "workers", "time", "read", "written"], projected),
    )


PAGE_TEXT = """# Many series: cost and scale

Written by `make bench-scale`. The commands: [In production](production.md#many-files-several-processes).

## Measured

{series} series of {steps} daily values in {files} Parquet files, {horizon} steps ahead, on a machine with two cores.
Runs of each way: {repeats}, the fastest counts. The time is that from the command to the prompt; `predict` uses a
network of 32 units.

{measured}
One process already uses both cores for its arithmetic, so that two processes of one core each are hardly faster than
it. The time with {files} series is the start: the imports, and for `predict` TensorFlow and the model. `predict` stays
in one process here, because other processes would take longer to start than they save.

`tsattn fit --time-limit 5m` for {rows} rows of hourly values, on the same machine; the time is that from the command to
the prompt, with the export and the forecast of every series:

{fits}
## Projected

Not measured: the time of `tsattn forecast --ray ADDRESS` for series of the same length, from the time per series on one
core, with workers of one core each and a perfect division of the work. Storage and network must deliver the bytes.

{projected}
## Object stores

`'s3://bucket/data/*.parquet'` and `-o s3://bucket/out` need `pip install s3fs`, `gs://` needs gcsfs. Credentials and
endpoint are those of the package, such as `AWS_ENDPOINT_URL` and `AWS_PROFILE`. `forecast` and `predict` were tried
with s3fs on a local S3 server (moto), with resumption and `--overwrite`; Google Cloud Storage was not.

## Spark

[examples/score_in_spark.py](../examples/score_in_spark.py) forecasts a Spark table by `mapInArrow`, whole series per
task. A test runs it on local PySpark.

## Training

Ray and processes train several networks at once: the models and folds of `tsattn backtest --jobs`, and the trials of
`tsattn tune --jobs`, both also with `--ray`. The comparison of `--model auto` trains its networks one after another,
because each gets a part of the time that the others leave.

One network can be trained on several devices, on JAX (`KERAS_BACKEND=jax`): after
`keras.distribution.set_distribution(keras.distribution.DataParallel())` the devices of the process divide each batch of
`Forecaster.fit`. The weights are those of one device up to rounding, whether or not the batch is a multiple of the
devices; a test trains 50 steps on one and on three.

It can also be trained on several machines. Each executes the same `tsattn fit`, with the variables of
[keras.distribution.initialize](https://keras.io/api/distribution/), and all can read the data and the run directory:

```sh
export KERAS_BACKEND=jax KERAS_DISTRIBUTION_JOB_ADDRESSES=10.0.0.1:9876 KERAS_DISTRIBUTION_NUM_PROCESSES=2
KERAS_DISTRIBUTION_PROCESS_ID=0 tsattn fit sales.parquet --model tcn -o runs/sales  # on 10.0.0.1
KERAS_DISTRIBUTION_PROCESS_ID=1 tsattn fit sales.parquet --model tcn -o runs/sales  # on the other machine
```

- Every process holds all of the data and gathers its part of each batch. The first one writes the run.
- Measured on loopback, 50 steps of a small network with batches of 64: the weights of two and three processes differ
  from those of one by at most 7.2e-7, where the largest weight is 11.9.
- If a process ends early, the others end within two minutes. Start all of them again with `--resume`: they continue
  from the last epoch. A test kills one of two processes; the weights then differ by at most 1e-6.
- A time limit is refused, and so is `--model auto`, which has one.
- In a script, call `keras.distribution.initialize()`, then
  `set_distribution(DataParallel(auto_shard_dataset=False))`, and save in the first process only.

The run has no SavedModel: `tsattn export` on TensorFlow writes it.

On TensorFlow, `Forecaster.fit` in the scope of `tf.distribute.MirroredStrategy` gives the weights of one device only if
all targets are observed (measured: within 1.5e-7 after 50 steps). Keras averages the losses of the devices, each of
which is divided by the number of observed targets on that device. With missing values these numbers differ, and so do
the weights (measured: by .0025). A batch that is not a multiple of the devices is an error of Keras.
"""


@click.command(help=__doc__)
@click.option("--series", default=20_000, show_default=True, help="Number of series.")
@click.option("--repeats", default=2, show_default=True, help="Repetitions.")
@click.option("--fit", is_flag=True, help="Measure tsattn fit instead.")
@TABLE_ONLY
def main(series: int, repeats: int, fit: bool, table_only: bool) -> None:
    """Measure and write the results."""
    results = read_results(RESULTS)
    if not table_only:
        results |= {"fit": measure_fits()} if fit else measure(series, repeats)
    write_results(RESULTS, results, render(results), PAGE)


if __name__ == "__main__":
    main()

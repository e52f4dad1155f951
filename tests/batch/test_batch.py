"""Forecasts of many files: whole series, each exactly once, equal to those of one process."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from batch.killed_worker import kill_first
from cli.conftest import tsattn
from fsspec.implementations.memory import MemoryFileSystem
from keras_help import eager_training
from run_files import without_export

import tsattn as package
from tsattn import Forecaster, engines
from tsattn.batch import FittedSource, Partition, ZeroShotSource, divide_data, forecast_partitions, partitions
from tsattn.config import RunConfig
from tsattn.engines import LocalProcesses, RayCluster
from tsattn.errors import DataError, RunError

HORIZON = 3


def sales(shops: Sequence[str], steps: int = 40, first: int = 0) -> pd.DataFrame:
    """Days of shops; their series begin at different dates."""
    parts = []
    for number, shop in enumerate(shops):
        rng = np.random.default_rng(sum(map(ord, shop)))
        days = pd.date_range("2024-01-01", periods=steps) + pd.Timedelta(days=number)
        values = 10 ** (number % 3) * (9 + np.sin(np.arange(steps) * 2 * np.pi / 7) + rng.normal(0, 0.1, steps))
        parts.append(pd.DataFrame({"shop": shop, "day": days, "sold": values}))
    return pd.concat(parts, ignore_index=True)


def by_shop(folder: Path, files: int = 3) -> Path:
    """Write files with the series of two shops each."""
    folder.mkdir()
    for number in range(files):
        sales([f"{number}-a", f"{number}-b"]).to_parquet(folder / f"{number}.parquet")
    return folder


def start_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes save time however little there is to do."""
    for name in ("PROCESS_SECONDS", "RAY_SECONDS"):
        monkeypatch.setattr(engines, name, 1e-9)
    monkeypatch.setattr(ZeroShotSource, "open_seconds", 0.0)


def whole(folder: Path) -> pd.DataFrame:
    return pd.concat(map(pd.read_parquet, sorted(folder.glob("*.parquet"))), ignore_index=True)


def zero_shot(data: Path | str, **options: Any) -> tuple[ZeroShotSource, list[Partition]]:
    config = RunConfig.from_dict({"data": {"horizon": HORIZON, **options}})
    return ZeroShotSource.infer(data, config)


def read_out(folder: Path) -> pd.DataFrame:
    """Return all forecasts, in the order of the series."""
    return whole(folder).sort_values(["shop", "day"], ignore_index=True)


def assert_same_forecasts(made: pd.DataFrame, known: pd.DataFrame) -> None:
    known = known.sort_values(["shop", "day"], ignore_index=True)
    pd.testing.assert_frame_equal(made, known, check_dtype=False, rtol=1e-6)


def test_files_are_forecast_as_all_series_together(tmp_path: Path) -> None:
    data = by_shop(tmp_path / "data")
    summary = forecast_partitions(*zero_shot(data), tmp_path / "out", LocalProcesses())
    assert (summary.partitions, summary.skipped, summary.rows) == (3, 0, 6 * HORIZON)
    assert {path.name for path in (tmp_path / "out").glob("*.parquet")} == {"0.parquet", "1.parquet", "2.parquet"}
    assert_same_forecasts(read_out(tmp_path / "out"), package.forecast(str(data), HORIZON))


def test_series_in_several_files_are_regrouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "MAX_ROWS", 100)
    rows = sales(list("abcde"))
    # As Spark partitions by month: the value of the folder is not a column of the files.
    for month, part in rows.groupby(rows["day"].dt.month):
        folder = tmp_path / "data" / f"month={month}"
        folder.mkdir(parents=True)
        part.to_parquet(folder / "part.parquet")
    pattern = str(tmp_path / "data" / "*" / "*.parquet")
    summary = forecast_partitions(*zero_shot(pattern), tmp_path / "out", LocalProcesses())
    assert summary.partitions == 3  # of at most two whole series of 40 rows each
    assert_same_forecasts(read_out(tmp_path / "out"), package.forecast(rows, HORIZON))


def test_series_in_several_csv_files_are_refused(tmp_path: Path) -> None:
    rows = sales(["x", "y"])
    rows[:60].to_csv(tmp_path / "1.csv", index=False)
    rows[60:].to_csv(tmp_path / "2.csv", index=False)
    with pytest.raises(DataError, match="series 'y' has rows in several files"):
        zero_shot(tmp_path)


def test_a_file_without_ids_is_a_series(tmp_path: Path) -> None:
    for shop in ("north", "south"):
        sales([shop])[["day", "sold"]].to_csv(tmp_path / f"{shop}.csv", index=False)
    pattern = str(tmp_path / "*.csv")
    forecast_partitions(*zero_shot(pattern), tmp_path / "out", LocalProcesses())
    known = package.forecast(pattern, HORIZON).sort_values(["file", "day"], ignore_index=True)
    pd.testing.assert_frame_equal(whole(tmp_path / "out"), known, check_dtype=False, rtol=1e-6)


def test_an_interrupted_command_continues(tmp_path: Path) -> None:
    data, out = by_shop(tmp_path / "data"), tmp_path / "out"
    good = (data / "2.parquet").read_bytes()
    sales(["2-a"]).rename(columns={"sold": "bought"}).assign(shop="2-a").to_parquet(data / "2.parquet")
    run = partial(forecast_partitions, *zero_shot(data), out, LocalProcesses())
    with pytest.raises(DataError, match=r"2\.parquet: .*sold"):
        run()
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert sorted(path.name for path in written) == ["0.parquet", "1.parquet"]
    (data / "2.parquet").write_bytes(good)
    assert run().skipped == 2
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert_same_forecasts(read_out(out), package.forecast(str(data), HORIZON))


def test_forecasts_with_other_options_are_not_mixed(tmp_path: Path) -> None:
    data, out = by_shop(tmp_path / "data"), tmp_path / "out"
    forecast_partitions(*zero_shot(data), out, LocalProcesses())
    other = zero_shot(data, horizon=5)
    with pytest.raises(RunError, match="other data or with other options"):
        forecast_partitions(*other, out, LocalProcesses())
    forecast_partitions(*other, out, LocalProcesses(), overwrite=True)
    assert len(whole(out)) == 6 * 5
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="holds other files"):
        forecast_partitions(*other, tmp_path / "mine", LocalProcesses(), overwrite=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_files_of_an_fsspec_file_system(tmp_path: Path) -> None:
    data = by_shop(tmp_path / "data")
    url, out = f"file://{data}/*.parquet", f"file://{tmp_path}/out"
    result = tsattn("forecast", url, "--horizon", HORIZON, "--jobs", 1, "-o", out)
    assert result.exit_code == 0, result.output
    assert_same_forecasts(read_out(tmp_path / "out"), package.forecast(str(data), HORIZON))


def test_an_error_of_a_file_system_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LookupError("unable to locate credentials")

    monkeypatch.setattr(MemoryFileSystem, "find", refuse)
    result = tsattn("forecast", "memory://data/*.parquet", "--horizon", HORIZON, "--jobs", 1, "-o", "memory://out")
    assert result.exit_code == 1
    assert "Error: memory://data/*.parquet: unable to locate credentials" in result.output


def test_the_command_needs_a_folder(tmp_path: Path) -> None:
    result = tsattn("forecast", by_shop(tmp_path / "data"), "--jobs", 2)
    assert result.exit_code == 2 and "-o FOLDER" in result.output


def test_a_run_forecasts_files(tmp_path: Path) -> None:
    data = by_shop(tmp_path / "data")
    with eager_training(), without_export():
        forecaster = Forecaster("drift", HORIZON, context=14).fit(sales(["t", "u"]))
        forecaster.save(tmp_path / "run")
    source = FittedSource.read(tmp_path / "run", levels=(0.1, 0.5))
    forecast_partitions(source, divide_data(data, source.schema), tmp_path / "out", LocalProcesses())
    known = forecaster.predict(str(data), levels=(0.1, 0.5))
    assert_same_forecasts(read_out(tmp_path / "out"), known)


def test_few_series_are_forecast_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("started other processes")

    monkeypatch.setattr(engines, "ProcessPoolExecutor", refuse)
    prepared = zero_shot(by_shop(tmp_path / "data", files=4))
    summary = forecast_partitions(*prepared, tmp_path / "out", LocalProcesses(2))
    assert summary.rows == 8 * HORIZON
    start_at_once(monkeypatch)
    with pytest.raises(AssertionError, match="started other processes"):
        forecast_partitions(*prepared, tmp_path / "more", LocalProcesses(2))


@pytest.mark.slow
@pytest.mark.parametrize("engine", [LocalProcesses(2), RayCluster("local", 2)], ids=["processes", "ray"])
def test_a_killed_worker_loses_and_repeats_nothing(
    engine: LocalProcesses | RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    )
    assert sorted(engine.map(kill_first, [(number, tmp_path) for number in range(6)])) == list(range(6))
    assert (tmp_path / "killed").exists()


@pytest.mark.slow
def test_workers_of_ray_forecast_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_at_once(monkeypatch)
    data = by_shop(tmp_path / "data", files=4)
    result = tsattn("forecast", data, "--horizon", HORIZON, "--ray", "local", "--jobs", 2, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert_same_forecasts(read_out(tmp_path / "out"), package.forecast(str(data), HORIZON))


@pytest.mark.slow
def test_a_missing_cluster_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(RunError, match=r"no Ray cluster at 'auto'.*ray start --head"):
        list(RayCluster("auto").map(kill_first, [(0, Path())]))


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "cluster"])
def test_a_wrong_address_is_one_line_at_once(address: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nothing listens there
        address = address.format(port=closed.getsockname()[1])
        with pytest.raises(RunError, match=rf"^there is no Ray cluster at '{address}'.*ray start --head"):
            list(RayCluster(address).map(kill_first, [(0, Path())]))


def test_ray_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_at_once(monkeypatch)
    monkeypatch.setitem(sys.modules, "ray", None)
    data = by_shop(tmp_path / "data", files=3)
    result = tsattn("forecast", data, "--horizon", HORIZON, "--ray", "local", "-o", tmp_path / "out")
    assert result.exit_code == 1 and "pip install 'tsattn[ray]'" in result.output

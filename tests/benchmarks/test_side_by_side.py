"""The benchmark against other forecasters: data, scores, runs and table."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from statsforecast.models import AutoTheta

from benchmarks.accuracy import snapshot
from benchmarks.accuracy.scores import window_scores
from benchmarks.accuracy.tasks import get_task
from benchmarks.side_by_side import __main__ as command
from benchmarks.side_by_side import classical, clock, environment, linear, naive, runs
from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.contestants import CONTESTANTS, get_contestant
from benchmarks.side_by_side.table import render_tables
from benchmarks.side_by_side.tasks import Data, prediction_inputs, scores, to_scored_shape, training_data
from tsattn.errors import TsattnError

GENERATOR = np.random.default_rng(5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write synthetic data in the format of ETTh1, with two channels, and of M4 Hourly, with three series."""
    (tmp_path / "ETT").mkdir()
    values = pd.DataFrame(GENERATOR.normal(5, 3, (14_500, 2)).round(3), columns=["HUFL", "OT"])
    values.insert(0, "date", pd.date_range("2016-07-01", periods=len(values), freq="h"))
    values.to_csv(tmp_path / "ETT" / "ETTh1.csv", index=False)
    (tmp_path / "M4").mkdir()
    for name, lengths in (("train", (700, 820, 960)), ("test", (48, 48, 48))):
        frame = pd.DataFrame([pd.Series(GENERATOR.uniform(10, 90, length).round(2)) for length in lengths])
        frame.columns = pd.Index([f"V{column + 2}" for column in frame])
        frame.insert(0, "V1", ["H1", "H2", "H10"])
        frame.to_csv(tmp_path / "M4" / f"Hourly-{name}.csv", index=False)
    return tmp_path


def test_window_scores_are_those_of_a_loop() -> None:
    actual, forecasts = GENERATOR.normal(size=(9, 2)), GENERATOR.normal(size=(7, 3, 2))
    errors = np.stack([forecasts[first] - actual[first : first + 3] for first in range(7)])
    assert window_scores(actual, forecasts) == pytest.approx(
        {"mse": np.square(errors).mean(), "mae": np.abs(errors).mean(), "windows": 7}
    )
    with pytest.raises(ValueError, match=r"expected forecasts of the shape \(7, 3, 2\)"):
        window_scores(actual, forecasts[:-1])


def test_every_window_of_the_test_part_is_scored_against_what_followed_it(folder: Path) -> None:
    of = get_task("etth1-96")
    fitted = naive.fit(training_data(of, folder), {}, 0, Clock(0.0))
    forecasts = to_scored_shape(of, fitted.forecast(*prediction_inputs(of, folder)))
    raw = pd.read_csv(folder / "ETT" / "ETTh1.csv").iloc[:14_400, 1:].to_numpy()
    values = (raw - raw[:8640].mean(axis=0)) / raw[:8640].std(axis=0)
    errors = []
    for origin in range(11_520, 14_400 - 96 + 1):
        last_day = values[origin - 24 : origin]
        errors.append(np.tile(last_day, (4, 1)) - values[origin : origin + 96])
    assert len(errors) == 2785
    expected = {"mse": np.square(errors).mean(), "mae": np.abs(errors).mean(), "windows": 2785}
    assert scores(of, folder, forecasts) == pytest.approx(expected)


def test_m4_is_scored_by_the_definitions_of_the_competition(folder: Path) -> None:
    of = get_task("m4-hourly")
    fitted = naive.fit(training_data(of, folder), {}, 0, Clock(0.0))
    figures = scores(of, folder, to_scored_shape(of, fitted.forecast(*prediction_inputs(of, folder))))
    train, test = (pd.read_csv(folder / "M4" / f"Hourly-{name}.csv").iloc[:, 1:] for name in ("train", "test"))
    smape, mase = [], []
    for row in range(3):
        history, actual = train.iloc[row].dropna().to_numpy(), test.iloc[row].to_numpy()
        forecast = np.tile(history[-24:], 2)
        smape.append(np.mean(200 * np.abs(actual - forecast) / (np.abs(actual) + np.abs(forecast))))
        mase.append(np.abs(actual - forecast).mean() / np.abs(history[24:] - history[:-24]).mean())
    assert (figures["smape"], figures["mase"]) == pytest.approx((np.mean(smape), np.mean(mase)))
    assert figures["owa"] == pytest.approx((np.mean(smape) / 18.383 + np.mean(mase) / 2.395) / 2)


@pytest.mark.parametrize("name", ["etth1-96", "m4-hourly"])
def test_training_data_and_histories_end_before_the_values_to_forecast(name: str, folder: Path) -> None:
    of = get_task(name)
    training, (history, windows) = training_data(of, folder), prediction_inputs(of, folder)
    rows = {"etth1-96": (11_520, 14_304, 2785), "m4-hourly": (700, 700, 1)}[name]
    assert (len(training.series[0]), len(history.series[0]), windows) == rows
    np.testing.assert_array_equal(history.series[0][: rows[0]], training.series[0])


def waves(lengths: tuple[int, ...], missing: int = 0) -> Data:
    """Return sums of two sine waves, which follow a linear recurrence, without the last ``missing`` steps."""
    rows = [
        50 * (series + 1) + 9 * np.sin(0.3 * np.arange(length) + series) + 4 * np.cos(0.7 * np.arange(length))
        for series, length in enumerate(lengths)
    ]
    frame = pd.DataFrame([pd.Series(row[: len(row) - missing]) for row in rows])
    frame.insert(0, "V1", [f"H{series}" for series in range(len(rows))])
    return Data(get_task("m4-hourly"), frame)


def test_the_linear_model_finds_a_linear_rule() -> None:
    lengths = (700, 500, 610)
    fitted = linear.fit(waves(lengths, 48), get_contestant("linear").options_of("m4"), 0, Clock(0.0))
    forecast = fitted.forecast(waves(lengths, 48), 1)
    expected = np.stack([values[-48:] for values in waves(lengths).series], axis=-1)
    assert np.abs(forecast[0] - expected).max() < 0.02
    # A forecast from an earlier origin does not use later values.
    rolled = fitted.forecast(waves(lengths, 46), 3)
    np.testing.assert_allclose(rolled[0], forecast[0], atol=1e-9)


@pytest.mark.slow
def test_a_classical_model_rolls_over_the_windows_with_the_parameters_of_the_train_part() -> None:
    of, season = get_task("etth1-24"), 10 + np.sin(np.arange(24) / 24 * 2 * np.pi)
    values = np.tile(season, 140) + GENERATOR.normal(0, 1e-3, 140 * 24)

    def until(end: int) -> Data:
        return Data(of, pd.DataFrame({"date": np.arange(end), "A": values[:end], "B": 2 * values[:end]}))

    fitted = classical.fit(until(3200), {"model": "AutoETS"}, 0, Clock(0.0))
    forecast = fitted.forecast(until(3230), 4)
    assert forecast.shape == (4, 24, 2)
    for window, origin in enumerate(range(3227, 3231)):
        actual = values[origin : origin + 24, None] * [1, 2]
        np.testing.assert_allclose(forecast[window], actual, atol=0.02)


@pytest.mark.slow
def test_a_theta_model_forecasts_what_it_does_without_the_shortcut_through_the_fourier_transform() -> None:
    steps = np.arange(3260)
    values = 10 + np.sin(steps / 24 * 2 * np.pi) + steps / 1000 + GENERATOR.normal(0, 0.3, len(steps))

    def until(end: int) -> Data:
        return Data(get_task("etth1-24"), pd.DataFrame({"date": steps[:end], "A": values[:end]}))

    data = until(3230)
    forecast = classical.fit(data, {"model": "AutoTheta"}, 0, Clock(0.0)).forecast(until(3260), 3)
    alone = AutoTheta(season_length=24).fit(values[: 3230 - data.validation])
    for window, end in enumerate((3258, 3259, 3260)):
        np.testing.assert_allclose(forecast[window, :, 0], alone.forward(values[:end].copy(), 24)["mean"], rtol=1e-9)


def test_excluded_time_is_subtracted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([110.0, 150.0, 160.0, 160.0])
    monkeypatch.setattr(clock.time, "monotonic", lambda: next(now))
    timer = Clock(100.0, 60)
    with timer.stopped():
        pass
    assert (timer.uncounted, timer.seconds(), timer.remaining()) == (40.0, 20.0, 40.0)


def run(name: str, budget: int | None = None, commit: str = "abc1234", of: str = "m4-hourly") -> str:
    return runs.Run(get_task(of), get_contestant(name), budget, 0).file(commit)


def test_a_result_is_of_the_commit_or_of_the_options() -> None:
    assert run("tsattn", 120) == "m4-hourly_tsattn_120s_seed0_abc1234.json"
    assert run("tsattn", 120, "def5678") != run("tsattn", 120)
    assert run("NHITS", 120, "def5678") == run("NHITS", 120)
    assert run("NHITS", 120).split("_")[-1] != run("LSTM", 120).split("_")[-1]
    assert run("seasonal naive").startswith("m4-hourly_seasonal-naive_")


def test_contestants_without_a_budget_run_once() -> None:
    planned = runs.list_runs([get_task("m4-hourly")], [], (120, 300), (0, 1))
    counts = {found.name: sum(run.contestant is found for run in planned) for found in CONTESTANTS}
    assert counts == {found.name: 4 if found.budgeted else 1 for found in CONTESTANTS}


def test_an_interrupted_benchmark_continues(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []

    def pretend(line: list[str], request: dict[str, Any], *_: Any) -> dict[str, Any]:
        if request["budget"] == broken:
            raise TsattnError("exit 1: out of memory")
        done.append((request["module"], request["budget"]))
        np.save(Path(line[-1]) / "forecasts.npy", np.full((3, 48), 50.0))
        # The fit with a budget of 300 s exceeds it.
        fitted = {None: 130.0, 120: 110.0, 300: 301.5}[request["budget"]]
        answer = {"fitted_seconds": fitted, "forecast_seconds": 1.0, "uncounted_seconds": 0.0, "details": {}}
        (Path(line[-1]) / "answer.json").write_text(json.dumps({**answer, "versions": {}}))
        return {"seconds": fitted + 2, "peak_memory_mb": 512, "cores_used_by_others": 0.0}

    monkeypatch.setattr(runs, "run_process", pretend)
    monkeypatch.setattr(snapshot, "last_commit", lambda: ("abc1234", "2026-01-01T00:00:00+00:00"))
    monkeypatch.setenv("TSATTN_DATA_DIR", str(folder))
    results = folder / "results"
    arguments = ["--task", "m4-hourly", "--only", "tsattn", "--only", "linear", "--budget", "120", "--budget", "300"]
    arguments = ["run", *arguments, "--results", str(results)]
    broken = 120
    first = CliRunner().invoke(command.main, arguments)
    assert first.exit_code == 1 and "failed: exit 1: out of memory" in first.output
    assert done == [("linear", None), ("default", 300)] and "over the budget" in first.output
    broken = 0
    second = CliRunner().invoke(command.main, arguments)
    assert second.exit_code == 0 and "2 of 3 runs are done" in second.output
    assert done[2:] == [("default", 120)]
    CliRunner().invoke(command.main, ["table", "--results", str(results)])
    lines = (folder / "results.md").read_text().splitlines()
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:]] for line in lines if "|" in line
    }
    assert cells[""][:3] == ["2 min", "5 min", "no budget"]
    # The linear model was fitted after 130 s: over the first budget, within the second.
    assert cells["linear"][0] == "" and cells["linear"][1] and cells["linear"][2]
    assert cells["tsattn"][0] and cells["tsattn"][1].endswith("†") and cells["tsattn"][2] == ""
    assert any(line.startswith("† fitted after the budget") for line in lines)


def test_results_over_the_budget_are_not_the_best() -> None:
    def result(name: str, owa: float, fitted: float, **more: Any) -> dict[str, Any]:
        figures = {"smape": 10 * owa, "mase": owa, "owa": owa}
        of = {"task": "m4-hourly", "contestant": name, "budget": 120, "seed": 0, "state": "a", "date": "1"}
        costs = {"fitted_seconds": fitted, "forecast_seconds": 1.0, "peak_memory_mb": 100, "cores_used_by_others": 0.0}
        about = {
            "uncounted_seconds": 0.0,
            "options": {},
            "versions": {},
            "machine": {"cores": 2, "processor": "", "architecture": "", "memory_gb": 1},
        }
        return {**of, **costs, **about, "figures": figures, "over_budget": fitted > 120, **more}

    late = result("NHITS", 0.3, 125)
    text = render_tables(
        [late, result("LSTM", 0.5, 110), result("tsattn", 0.4, 110), result("tsattn", 0.1, 90, state="b", date="2")]
    )
    assert ".300 †" in text and "**.300**" not in text and "**.400**" not in text
    assert "**.100**" in text and ".400" not in text, "the newest of the states with the most results"
    newer = result("tsattn", 0.2, 90, state="b", seed=1)
    assert ".150±.071" in render_tables([late, result("tsattn", 0.1, 90, state="b"), newer])


PROBE = """
import sys, numpy as np, pandas as pd
from benchmarks.accuracy.tasks import get_task
from benchmarks.side_by_side import networks
from benchmarks.side_by_side.clock import Clock
from benchmarks.side_by_side.contestants import get_contestant
from benchmarks.side_by_side.tasks import Data
import time

values = np.random.default_rng(0).normal(size=(3600, 3)).cumsum(axis=0) / 10
def until(end):
    return Data(get_task("etth1-24"), pd.DataFrame(values[:end], columns=list("ABC")).assign(date=np.arange(end)))

fitted = networks.fit(until(3500), get_contestant("NHITS").options_of("ett"), 0, Clock(time.monotonic(), 4))
rolled = fitted.forecast(until(3504), 5)
assert rolled.shape == (5, 24, 3)
for window in range(5):
    np.testing.assert_allclose(rolled[window], fitted.forecast(until(3500 + window), 1)[0], atol=1e-4)
assert 1 <= fitted.details["best_step"] <= fitted.details["steps"]
assert "tsattn" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not environment.is_installed(environment.FOLDER),
    reason="the peers are not installed: `python -m benchmarks.side_by_side run --only NHITS` installs them",
)
def test_a_network_rolls_over_the_windows_as_it_forecasts_from_each_alone() -> None:
    line = [str(environment.ensure_python(environment.FOLDER)), "-c", PROBE]
    found = subprocess.run(line, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert found.returncode == 0, found.stderr

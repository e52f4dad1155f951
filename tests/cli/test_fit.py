"""`tsattn fit` and `tsattn predict`: files, forecasts, errors."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from cli.conftest import DATASETS, FAST, TINY, tsattn
from cli.test_output import AIRLINE, read_document

from tsattn import Forecaster, forecast
from tsattn.config import RunConfig, override

FILES = {
    "run.json",
    "config.toml",
    "schema.json",
    "model.keras",
    "context.npz",
    "metrics.json",
    "history.csv",
    "forecast.csv",
    "forecast.png",
    "report.html",
    "saved_model",
}


def test_run_directory_is_complete(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == FILES
    assert (run / "saved_model" / "1" / "saved_model.pb").is_file()
    assert [path.name for path in run.parent.iterdir()] == ["airline"], "no temporary files remain"


def test_forecast_follows_the_data(run: Path) -> None:
    forecast = pd.read_csv(run / "forecast.csv", parse_dates=["Date"])
    assert list(forecast.columns) == ["unique_id", "Date", "Passengers", "Passengers-lo-80", "Passengers-hi-80"]
    assert list(forecast["Date"]) == list(pd.date_range("1961-01-01", periods=12, freq="MS"))
    low, median, high = (forecast[f"Passengers{part}"] for part in ("-lo-80", "", "-hi-80"))
    assert (low <= median).all() and (median <= high).all()
    assert median.between(200, 1000).all(), "in original units"


def test_config_has_all_options(run: Path) -> None:
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["data"] | {"context": 72} == {
        "freq": "MS", "season": 12, "horizon": 12, "context": 72, "validation": 21, "support": "real",
        "no_header": False,
    }  # fmt: skip
    assert config["model"]["patch_length"] == 12 and config["model"]["units"] == 8
    assert config["model"]["attention"] == "scaled_dot" and config["model"]["copy_heads"] == 4
    assert config["seed"] == 3


@pytest.mark.slow
@pytest.mark.usefixtures("without_export")
def test_config_of_a_run_repeats_it(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    result = tsattn("fit", DATASETS / "Airline.csv", "--config", run / "config.toml", "--out", again)
    assert result.exit_code == 0, result.output
    pd.testing.assert_frame_equal(pd.read_csv(run / "forecast.csv"), pd.read_csv(again / "forecast.csv"))


def test_metrics_hold_the_model_and_every_baseline(run: Path) -> None:
    rows = {row["model"]: row for row in json.loads((run / "metrics.json").read_text())["scores"]}
    assert set(rows) == {"seq2seq", "naive", "seasonal_naive", "drift", "seasonal_mean"}
    values = pd.read_csv(DATASETS / "Airline.csv")["Passengers"].to_numpy(float)
    windows = range(144 - 21, 144 - 12 + 1)
    error = np.mean([np.abs(values[o : o + 12] - values[o - 1]).mean() for o in windows])
    scale = np.abs(values[12 : 144 - 21] - values[: 144 - 21 - 12]).mean()
    assert rows["naive"]["mae"] == pytest.approx(error, rel=1e-5)
    assert rows["naive"]["mase"] == pytest.approx(error / scale, rel=1e-5)


def test_predict_without_data_gives_the_forecast_of_the_run(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "forecast.csv"
    assert tsattn("predict", run, "-o", output).exit_code == 0
    pd.testing.assert_frame_equal(pd.read_csv(output), pd.read_csv(run / "forecast.csv"), rtol=1e-5)


def test_predict_prints_csv(run: Path) -> None:
    result = tsattn("predict", run)
    assert result.stdout.splitlines()[0] == "unique_id,Date,Passengers,Passengers-lo-80,Passengers-hi-80"
    assert len(result.stdout.splitlines()) == 13
    assert tsattn("predict", run, "-o", "-").stdout == result.stdout and not Path("-").exists()


def test_predict_from_other_data(run: Path, tmp_path: Path) -> None:
    history = pd.DataFrame({"Date": pd.date_range("2001-03-01", periods=7, freq="MS"), "Passengers": 5.0})
    history.loc[3, "Passengers"] = np.nan
    path = tmp_path / "new.csv"
    history.to_csv(path, index=False)
    result = tsattn("predict", run, path, "-o", tmp_path / "out.parquet")
    assert result.exit_code == 0, result.output
    forecast = pd.read_parquet(tmp_path / "out.parquet")
    assert forecast["Date"].iloc[0] == pd.Timestamp("2001-10-01")
    assert forecast["Passengers"].between(0, 10).all(), "on the scale of the history"


def test_predict_reports_missing_columns(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("Date,Riders\n1961-01,3\n1961-02,4\n")
    result = tsattn("predict", run, path)
    assert result.exit_code == 1
    assert "other.csv" in result.stderr and "Passengers" in result.stderr and "Traceback" not in result.output


def test_predict_reports_files_that_cannot_be_written_or_read(run: Path, tmp_path: Path) -> None:
    result = tsattn("predict", run, "-o", tmp_path / "nowhere" / "forecast.csv")
    assert result.exit_code == 1 and "nowhere" in result.stderr
    damaged = tmp_path / "damaged"
    shutil.copytree(run, damaged)
    (damaged / "context.npz").unlink()
    for options in ((), ("--no-verify",)):
        result = tsattn("predict", damaged, *options)
        assert result.exit_code == 1 and "damaged" in result.stderr and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("context.npz", b"PK\x03\x04", "damaged"),
        ("model.keras", b"PK\x03\x04", "cannot be read as a Keras model"),
        ("metrics.json", b"[]", "damaged"),
        ("run.json", b"[1]", "run.json: expected a file as"),
        ("run.json", b"[" * 100_000, "run.json: expected a file as"),
        ("run.json", b'{"format": "4", "files": {}}', "run.json: expected a file as"),
        ("schema.json", b"[" * 100_000, "damaged"),
        ("metrics.json", b'{"scores": 7}', "damaged"),
    ],
)
def test_damaged_run_gives_one_line(run: Path, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(content)
    for options, expected in (((), f"{name}: "), (("--no-verify",), message)):
        result = tsattn("export", tmp_path / "run", "--quiet", *options)
        assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
        assert expected in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_file_of_another_run_is_named_and_loads_without_the_check(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    report = tmp_path / "run" / "report.html"
    report.write_text(report.read_text() + " ")
    result = tsattn("predict", tmp_path / "run")
    assert result.exit_code == 1 and "report.html: was changed" in result.stderr
    assert tsattn("predict", tmp_path / "run", "--no-verify").exit_code == 0


def test_a_model_with_weights_that_are_not_numbers_does_not_load(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    model = keras.models.load_model(run / "model.keras")
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    model.save(tmp_path / "run" / "model.keras")
    result = tsattn("predict", tmp_path / "run", "--no-verify")
    assert result.exit_code == 1 and "expected finite weights" in result.stderr


@pytest.mark.usefixtures("eager_training")
def test_a_failure_after_the_training_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    command = ("fit", DATASETS / "Airline.csv", "--out", tmp_path / "run", *FAST)
    monkeypatch.setattr("tsattn.run_directory.export", full)
    result = tsattn(*command)
    assert result.exit_code == 1 and "No space left on device" in result.stderr and "--resume" in result.stderr
    assert "Traceback" not in result.output and not (tmp_path / "run").exists()

    def train(*args: object, **options: object) -> None:
        raise AssertionError("the training is repeated")

    monkeypatch.setattr(keras.Model, "fit", train)
    result = tsattn(*command, "--resume", "--seed", 9)
    assert result.exit_code == 1 and "other data or options" in result.stderr
    monkeypatch.setattr("tsattn.run_directory.export", lambda fitted, folder, **_: folder.mkdir())
    result = tsattn(*command, "--resume")
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "the stored training is removed"
    result = tsattn(*command, "--resume", "--overwrite")
    assert result.exit_code == 1 and "expected an interrupted training, found none" in result.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("without_export")
def test_files_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text(
        "ds,a,b\n" + "".join(f"2024-01-{day:02},{day},{day % 3}\n" for day in range(1, 29))
    )
    other = tmp_path / "other"
    assert tsattn("fit", tmp_path / "two.csv", "--model", "naive", "--out", other).exit_code == 0
    for name, message in (("context.npz", "series of this run"), ("model.keras", "model of this run")):
        mixed = tmp_path / name
        shutil.copytree(run, mixed)
        shutil.copy(other / name, mixed / name)
        result = tsattn("predict", mixed)
        assert result.exit_code == 1 and f"{name}: was changed after it was written" in result.stderr, result.output
        result = tsattn("predict", mixed, "--no-verify")
        assert result.exit_code == 1 and message in result.stderr, result.output


@pytest.mark.usefixtures("without_export")
def test_overwrite_replaces_a_run(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "[run]"
    shutil.copytree(run, folder)
    result = tsattn("fit", DATASETS / "Airline.csv", "--out", folder, "--overwrite", "--model", "naive")
    assert result.exit_code == 0, result.output
    assert set(pd.read_csv(folder / "history.csv")) and 'name = "naive"' in (folder / "config.toml").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["[run]"]


@pytest.mark.usefixtures("without_export")
def test_overwrite_replaces_the_run_of_the_name_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fit = ("fit", DATASETS / "Airline.csv", "--model", "naive")
    assert [tsattn(*fit, *more).exit_code for more in ((), ("--overwrite",))] == [0, 0]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["Airline"]
    assert tsattn(*fit).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["Airline", "Airline-2"]


@pytest.mark.usefixtures("without_export")
def test_the_working_directory_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = ("fit", DATASETS / "Airline.csv", "--model", "naive", "--out")
    assert tsattn(*fit, tmp_path / "run").exit_code == 0
    monkeypatch.chdir(tmp_path / "run")
    result = tsattn(*fit, ".", "--overwrite")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "run.json").exists() and [path.name for path in tmp_path.iterdir()] == ["run"]


def test_commands_with_a_run_as_json(run: Path, tmp_path: Path) -> None:
    found = read_document("predict", run)
    assert len(found["result"]["rows"]) == 12 and found["warnings"] == []
    found = read_document("evaluate", run, AIRLINE, "--last-steps", 24, "--by", "step")
    assert found["result"]["model"] == "seq2seq" and len(found["result"]["groups"]) == 60
    found = read_document("backtest", AIRLINE, "--model", "drift", "--folds", 1, "--out", tmp_path / "out")
    assert found["result"]["best"] == "drift" and found["result"]["scores"][0]["mase"] > 0


def test_nothing_is_overwritten_silently(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("mine")
    for command in (("forecast", AIRLINE), ("predict", run), ("explain", run)):
        result = tsattn(*command, "--out", path)
        assert result.exit_code == 1 and "--overwrite" in result.stderr and path.read_text() == "mine"
    assert tsattn("forecast", AIRLINE, "--out", path, "--overwrite").exit_code == 0
    assert path.read_text().startswith("unique_id")


def test_existing_directory_is_not_replaced(run: Path) -> None:
    before = (run / "forecast.csv").read_bytes()
    result = tsattn("fit", DATASETS / "Airline.csv", "--out", run, *FAST)
    assert result.exit_code == 1 and "--overwrite" in result.stderr
    assert (run / "forecast.csv").read_bytes() == before


def test_overwrite_does_not_replace_other_directories(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    result = tsattn("fit", DATASETS / "Airline.csv", "--out", tmp_path, "--overwrite")
    assert result.exit_code == 1 and (tmp_path / "precious.txt").exists()


def test_options_that_contradict_each_other_are_wrong_usage(tmp_path: Path) -> None:
    given = ("--set", "model.copy_heads=2", "--set", "model.attention=none")
    result = tsattn("fit", DATASETS / "Airline.csv", "--out", tmp_path / "run", *given)
    assert result.exit_code == 2, result.output
    assert "copy_heads=2 needs an attention" in result.output and "Traceback" not in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("eager_training", "without_export")
def test_every_attention_is_an_option(tmp_path: Path) -> None:
    settings = ("--set", "model.attention=general", "--set", "model.alignment=local", "--set", "model.local_window=2")
    given = ("fit", DATASETS / "Airline.csv", "--out", tmp_path / "run", "--model", "seq2seq", *settings, *FAST)
    result = tsattn(*given)
    assert result.exit_code == 0, result.output
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["model"]
    assert (config["attention"], config["alignment"], config["copy_heads"]) == ("general", "local", 0)
    assert pd.read_csv(tmp_path / "run" / "forecast.csv")["Passengers"].between(100, 2000).all()


@pytest.mark.slow
def test_the_table_names_the_winner(tmp_path: Path) -> None:
    # For an exact season, the seasonal naive forecast has no error.
    values = np.tile([3.0, 7.0, 1.0, 9.0, 4.0, 4.0, 8.0], 12)
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=84), "y": values})
    frame.to_csv(tmp_path / "weeks.csv", index=False)
    result = tsattn("fit", tmp_path / "weeks.csv", "--out", tmp_path / "run", "--model", "naive")
    assert result.exit_code == 0, result.output
    assert "seasonal_naive" in result.stderr
    assert (tmp_path / "run" / "saved_model" / "1").is_dir(), "a baseline is exported as well"


@pytest.mark.slow
@pytest.mark.usefixtures("eager_training")
@pytest.mark.parametrize("recipe", sorted(path.name for path in (DATASETS.parent / "configs").glob("*.toml")))
def test_recipes(recipe: str) -> None:
    values = tomllib.loads((DATASETS.parent / "configs" / recipe).read_text())
    months, series = pd.read_csv(DATASETS / "Airline.csv"), 1
    if recipe == "graph.toml":
        months["other"], months["third"] = months.iloc[:, 1].shift(1).bfill(), months.iloc[:, 1].shift(2).bfill()
        series = 3
    config = RunConfig.from_dict(override(values, FAST[1::2]), source=recipe)
    forecast = Forecaster.from_config(config).fit(months).predict()
    levels = len(values.get("levels", (0.1, 0.5, 0.9)))
    assert len(forecast) == 12 * series and len(forecast.columns) == 2 + levels
    assert np.isfinite(forecast.iloc[:, 2:]).to_numpy().all()


@pytest.mark.usefixtures("without_export")
def test_few_values_are_forecast_without_a_network(noise: Path, tmp_path: Path) -> None:
    result = tsattn("fit", noise, "--out", tmp_path / "run", "--season", 1, "--horizon", 5)
    assert result.exit_code == 0, result.output
    reason = "networks are trained from 200 observed values on, and the data have 120."
    assert reason in result.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["model_choice"]["selected"] == "combination" and reason in metrics["model_choice"]["summary"]
    assert {row["model"] for row in metrics["scores"]} >= {"combination", "seasonal_mean"}
    assert 'name = "combination"' in (tmp_path / "run" / "config.toml").read_text()
    assert reason in (tmp_path / "run" / "report.html").read_text()
    known = forecast(pd.read_csv(noise), 5, season=1)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "run" / "forecast.csv")["y"], known["y"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("eager_training", "without_export")
def test_the_network_is_combined_with_the_zero_shot_forecast(tmp_path: Path) -> None:
    rng, steps = np.random.default_rng(0), np.arange(240)
    values = 50 + 5 * np.sin(steps * np.pi / 6) + rng.normal(size=240)
    pd.DataFrame({"ds": steps, "y": values}).to_csv(tmp_path / "data.csv", index=False)
    given = ("--season", 12, "--horizon", 6, *TINY)
    result = tsattn("fit", tmp_path / "data.csv", "--out", tmp_path / "run", *given)
    assert result.exit_code == 0, result.output
    choice = json.loads((tmp_path / "run" / "metrics.json").read_text())["model_choice"]
    assert choice["summary"] in result.stderr and 0 < choice["weights"][0] < 1
    assert choice["selected"] == "seq2seq + combination" and choice["selected"] in result.stdout + result.stderr
    config = (tmp_path / "run" / "config.toml").read_text()
    again = tsattn("fit", tmp_path / "data.csv", "--out", tmp_path / "again", "--config", tmp_path / "run/config.toml")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again" / "config.toml").read_text() == config
    forecasts = [pd.read_csv(tmp_path / name / "forecast.csv") for name in ("run", "again")]
    pd.testing.assert_frame_equal(*forecasts)
    pd.testing.assert_frame_equal(Forecaster.load(tmp_path / "run").predict(), forecasts[0], check_dtype=False)


@pytest.mark.usefixtures("eager_training", "without_export")
@pytest.mark.parametrize("limit", ["0.001s", pytest.param("10m", marks=pytest.mark.slow)])
def test_named_network_is_used(limit: str, noise: Path, tmp_path: Path) -> None:
    arguments = ("--season", 1, "--horizon", 5, *TINY, "--model", "seq2seq", "--time-limit", limit)
    result = tsattn("fit", noise, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 0, result.output
    assert "The forecast combines" not in result.stderr
    config = (tmp_path / "run" / "config.toml").read_text()
    assert 'name = "seq2seq"' in config and f"max_seconds = {600 if limit == '10m' else 0.001}" in config
    note = "The time limit ended the training in epoch 1; the weights after epoch 1 are used"
    assert (note in result.stderr) == (limit == "0.001s")
    assert limit == "0.001s" or "ended the training" not in result.stderr
    history = Forecaster.load(tmp_path / "run").history_
    assert history is not None and history.out_of_time == (limit == "0.001s")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["model_choice"] is None

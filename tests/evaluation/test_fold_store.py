"""Backtests of several models with stored folds: an interrupted backtest resumes with the same result."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn import Forecaster
from tsattn.config import DataConfig, RunConfig
from tsattn.data.loader import load
from tsattn.errors import ConfigError, RunError
from tsattn.evaluation.fold_store import Fold, FoldStore
from tsattn.evaluation.origins import plan_backtest
from tsattn.evaluation.rolling_origin import Backtest, Refit

pytestmark = pytest.mark.usefixtures("eager_training")

QUICK = {"epochs": 1, "steps_per_epoch": 1, "refit": False}
NETWORKS = ["attention_pooling", "tcn"]
MODELS: dict[Refit, list[str]] = {"never": NETWORKS, "every": ["tcn"]}
FOLDS = 2


def series(steps: int = 90) -> pd.DataFrame:
    noise = np.random.default_rng(3).normal(0, 0.3, steps)
    times = pd.date_range("2024-03-01", periods=steps, tz="Europe/Vienna")
    return pd.DataFrame({"ds": times, "y": 5 + np.sin(np.arange(steps) * 2 * np.pi / 7) + noise})


def forecaster(**more: object) -> Forecaster:
    return Forecaster(horizon=5, training=QUICK, **more)  # type: ignore[arg-type]


class Interrupt(Exception):
    """Simulates the end of the process."""


class Callback:
    """Counts the trainings and interrupts one of them."""

    def __init__(self, limit: int = 100) -> None:
        self.titles: list[str] = []
        self._limit = limit

    def __call__(self, title: str) -> tuple[()]:
        if len(self.titles) == self._limit:
            raise Interrupt
        self.titles.append(title)
        return ()


@cache
def whole(refit: Refit) -> Backtest:
    """A backtest that is not interrupted and not stored."""
    return forecaster().backtest(series(), FOLDS, refit=refit, models=MODELS[refit])


@pytest.mark.parametrize("refit", ["never", pytest.param("every", marks=pytest.mark.slow)])
def test_an_interrupted_backtest_resumes(refit: Refit, tmp_path: Path) -> None:
    out, models = tmp_path / "stored", MODELS[refit]
    with pytest.raises(Interrupt):
        forecaster().backtest(series(), FOLDS, refit=refit, models=models, out=out, callbacks=Callback(1))
    done = [path.stem for path in out.rglob("*.parquet")]
    assert done == [models[0]] * (FOLDS if refit == "never" else 1) and not (out / "leaderboard.csv").exists()

    # The forecasts of a fold are written first; alone they must not count as a finished fold.
    half = out / "folds" / str(FOLDS) / "tcn.parquet"
    half.parent.mkdir(exist_ok=True)
    half.write_text("half")
    callback = Callback()
    result = forecaster().backtest(series(), FOLDS, refit=refit, models=models, out=out, callbacks=callback)
    assert len(callback.titles) == 1
    pd.testing.assert_frame_equal(result.scores, whole(refit).scores, check_exact=True)
    columns = [name for name in result.forecasts if name not in ("unique_id", "cutoff", "ds")]
    pd.testing.assert_frame_equal(result.forecasts[columns], whole(refit).forecasts[columns], check_exact=True)
    assert (result.forecasts["ds"] == whole(refit).forecasts["ds"]).all()


@pytest.mark.slow
def test_a_model_with_lost_folds_is_trained_on_the_same_data(tmp_path: Path) -> None:
    out = tmp_path / "stored"
    forecaster().backtest(series(), FOLDS, models=["tcn"], out=out)
    (out / "folds" / str(FOLDS) / "tcn.json").unlink()
    result = forecaster().backtest(series(), FOLDS, models=["tcn"], out=out)
    np.testing.assert_array_equal(result.forecasts["tcn"], whole("never").forecasts["tcn"])


def test_results_are_written_and_more_models_can_be_added(tmp_path: Path) -> None:
    result = whole("never")
    assert result.models == ("attention_pooling", "tcn") and result.best in NETWORKS
    assert set(result.scores["model"]) == {*NETWORKS, "naive", "seasonal_naive", "drift", "seasonal_mean"}
    out = tmp_path / "stored"
    first = forecaster(model="tcn").backtest(series(), FOLDS, out=out)
    for end in ("", "-lo-80", "-hi-80"):
        np.testing.assert_array_equal(result.forecasts[f"tcn{end}"], first.forecasts[f"tcn{end}"])
    pd.testing.assert_frame_equal(
        result.scores[result.scores["model"] == "tcn"].reset_index(drop=True),
        first.scores[first.scores["model"] == "tcn"].reset_index(drop=True),
    )
    callback = Callback()
    both = forecaster().backtest(series(), FOLDS, models=NETWORKS, out=out, callbacks=callback)
    assert callback.titles == ["attention_pooling, training"]
    np.testing.assert_array_equal(first.forecasts["tcn"], both.forecasts["tcn"])
    board = pd.read_csv(out / "leaderboard.csv")
    np.testing.assert_allclose(board["mase"], both.scores["mase"])
    assert list(board["model"]) == list(both.scores["model"])
    forecasts = pd.read_csv(out / "forecasts.csv")
    assert len(forecasts) == FOLDS * 5 and {"attention_pooling-lo-80", "tcn", "y"} <= set(forecasts)
    assert len(pd.read_csv(out / "scores.csv")) == FOLDS * 6
    for number in range(FOLDS):
        part = pd.read_parquet(out / "folds" / str(number + 1) / "tcn.parquet")
        np.testing.assert_array_equal(part["tcn"], both.forecasts["tcn"][number * 5 : number * 5 + 5])
    with pytest.raises(RunError, match=r"has forecasts of tcn with other options.* out="):
        forecaster(model="tcn", options={"units": 7}).backtest(series(), FOLDS, out=out)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"folds": 3}, "folds=2 instead of 3"),
        ({"refit": "every"}, "refit=never instead of every"),
        ({"data": series(91)}, "other data"),
        ({"seed": 1}, r"other options \(seed\)"),
    ],
)
def test_another_backtest_is_rejected(changed: dict[str, object], words: str, tmp_path: Path) -> None:
    given: dict[str, object] = {"folds": FOLDS, "refit": "never", "data": series(), "seed": 0}
    out = tmp_path / "stored"
    for number, values in enumerate((given, {**given, **changed})):
        made = forecaster(model="naive", seed=values["seed"])
        arguments = (values["data"], values["folds"], None, values["refit"])
        if number == 0:
            made.backtest(*arguments, out=out)  # type: ignore[arg-type]
        else:
            with pytest.raises(RunError, match=f"{words}.* out="):
                made.backtest(*arguments, out=out)  # type: ignore[arg-type]


def test_a_changed_graph_file_is_another_backtest(tmp_path: Path) -> None:
    panel, schema = load(series(), DataConfig(horizon=5))
    windows = plan_backtest(panel, schema, DataConfig(horizon=5), FOLDS)
    graph, out = tmp_path / "graph.csv", tmp_path / "stored"
    config = RunConfig(data=DataConfig(horizon=5, graph=str(graph)))
    graph.write_text("a,b\n0,1\n1,0\n")
    FoldStore.open(out, windows, config, "never").begin()
    FoldStore.open(out, windows, config, "never").begin()
    graph.write_text("a,b\n0,1\n0,0\n")
    with pytest.raises(RunError, match=r"another graph.* out="):
        FoldStore.open(out, windows, config, "never")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("edited record", "2/tcn.json"),
        ("edited forecasts", "2/tcn.parquet"),
        ("forecasts of another fold", "2/tcn.parquet"),
        ("both files of another fold", "2/tcn.json"),
        ("no forecasts", "2/tcn.parquet"),
        ("deeply nested record", "2/tcn.json"),
        ("list as record", "2/tcn.json"),
        ("no record", ""),
    ],
)
def test_a_changed_fold_is_named(damage: str, named: str, tmp_path: Path) -> None:
    store = FoldStore(tmp_path)
    frames = [pd.DataFrame({"ds": [1, 2], "tcn": [1.5 + fold, 2.5]}) for fold in range(FOLDS)]
    for fold, frame in enumerate(frames):
        pd.testing.assert_frame_equal(store.write(fold, "tcn", {"units": 4}, Fold(frame)).forecasts, frame)
    first, second = (tmp_path / "folds" / str(fold) / "tcn.json" for fold in (1, 2))
    if damage == "edited record":
        second.write_text(second.read_text().replace('"failed": 0', '"failed": 1'))
    elif damage == "edited forecasts":
        frames[1].assign(tcn=[2.5, 2.6]).to_parquet(second.with_suffix(".parquet"), index=False)
    elif damage in ("deeply nested record", "list as record"):
        second.write_text("[" * 100_000 + "]" * 100_000 if "deeply" in damage else "[1]")
    elif damage == "no record":
        second.unlink()
    elif damage == "no forecasts":
        second.with_suffix(".parquet").unlink()
    else:
        for suffix in (".json", ".parquet") if "both" in damage else (".parquet",):
            second.with_suffix(suffix).write_bytes(first.with_suffix(suffix).read_bytes())
    if not named:
        assert store.read(1, "tcn", {"units": 4}) is None, "the fold is made again"
        return
    with pytest.raises(RunError, match=f"{named}: .*overwrite="):
        store.read(1, "tcn", {"units": 4})


def test_a_folder_with_other_files_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="already exists and is not a backtest"):
        Forecaster("naive", horizon=5).backtest(series(), out=tmp_path)
    (tmp_path / "empty").mkdir()
    Forecaster("naive", horizon=5).backtest(series(), 1, out=tmp_path / "empty")
    description = json.loads((tmp_path / "empty" / "backtest.json").read_text())
    assert description["backtest"] == {"folds": 1, "step": 5, "refit": "never"} and description["data"]["series"] == 1


def test_invalid_models() -> None:
    with pytest.raises(ConfigError, match="there is no model 'arima'"):
        Forecaster(horizon=5).backtest(series(), models=["tcn", "arima"])
    with pytest.raises(ConfigError, match="unknown option 'units'"):
        Forecaster(horizon=5, options={"units": 4}).backtest(series(), models=["seq2seq", "naive"])


@pytest.mark.slow
@pytest.mark.parametrize("refit", ["never", "every"])
def test_several_processes_give_the_same_result(refit: Refit, tmp_path: Path) -> None:
    models = ["attention_pooling", "drift"]
    one = forecaster().backtest(series(), FOLDS, refit=refit, models=models)
    two = forecaster().backtest(series(), FOLDS, refit=refit, models=models, out=tmp_path / "two", jobs=2)
    pd.testing.assert_frame_equal(two.scores, one.scores, rtol=1e-5)
    pd.testing.assert_frame_equal(two.forecasts, one.forecasts, rtol=1e-5)


def test_several_processes_cannot_call_back() -> None:
    with pytest.raises(ConfigError, match="several jobs train in other processes"):
        forecaster().backtest(series(), FOLDS, models=NETWORKS, callbacks=Callback(), jobs=2)

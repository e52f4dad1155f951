"""Backtests of several models, kept fold by fold: what was stopped goes on, and gives what it would have given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn import Forecaster
from tsattn.config import DataConfig, RunConfig
from tsattn.data.loader import load
from tsattn.errors import ConfigError, RunError
from tsattn.evaluation.backtest import Backtest, Refit
from tsattn.evaluation.fold_store import Folds
from tsattn.evaluation.origins import plan_backtest

QUICK = {"epochs": 1, "steps_per_epoch": 2, "refit": False}
NETWORKS = ["attention_pooling", "tcn"]
ASKED: dict[Refit, list[str]] = {"never": NETWORKS, "every": ["tcn"]}
FOLDS = 2


def series(steps: int = 90) -> pd.DataFrame:
    noise = np.random.default_rng(3).normal(0, 0.3, steps)
    stamps = pd.date_range("2024-03-01", periods=steps, tz="Europe/Vienna")
    return pd.DataFrame({"ds": stamps, "y": 5 + np.sin(np.arange(steps) * 2 * np.pi / 7) + noise})


def forecaster(**more: object) -> Forecaster:
    return Forecaster(horizon=5, training=QUICK, **more)  # type: ignore[arg-type]


class Stop(Exception):
    """Stands for the end of the process."""


class Watch:
    """Counts the trainings, and ends the process before one of them."""

    def __init__(self, most: int = 100) -> None:
        self.titles: list[str] = []
        self._most = most

    @contextmanager
    def __call__(self, title: str) -> Iterator[None]:
        if len(self.titles) == self._most:
            raise Stop
        self.titles.append(title)
        yield


@pytest.fixture(scope="module")
def whole() -> dict[Refit, Backtest]:
    """Backtests that nothing stopped, and that are not kept."""
    return {refit: forecaster().backtest(series(), FOLDS, refit=refit, models=ASKED[refit]) for refit in ASKED}


def test_several_models_are_those_that_stand_alone(whole: dict[Refit, Backtest]) -> None:
    result = whole["never"]
    assert result.models == ("attention_pooling", "tcn") and result.best in NETWORKS
    assert set(result.scores["model"]) == {*NETWORKS, "naive", "seasonal_naive", "drift", "seasonal_mean"}
    alone = forecaster(model="tcn").backtest(series(), FOLDS)
    for end in ("", "-lo-80", "-hi-80"):
        np.testing.assert_array_equal(result.forecasts[f"tcn{end}"], alone.forecasts[f"tcn{end}"])
    pd.testing.assert_frame_equal(
        result.scores[result.scores["model"] == "tcn"].reset_index(drop=True),
        alone.scores[alone.scores["model"] == "tcn"].reset_index(drop=True),
    )


@pytest.mark.parametrize("refit", ["never", "every"])
def test_what_was_stopped_goes_on(refit: Refit, whole: dict[Refit, Backtest], tmp_path: Path) -> None:
    out, models = tmp_path / "kept", ASKED[refit]
    with pytest.raises(Stop):
        forecaster().backtest(series(), FOLDS, refit=refit, models=models, out=out, watch=Watch(1))
    done = [path.stem for path in out.rglob("*.parquet")]
    assert done == [models[0]] * (FOLDS if refit == "never" else 1) and not (out / "leaderboard.csv").exists()

    # Of a fold that was being written there is the half that comes first, which must not count.
    half = out / "folds" / str(FOLDS) / "tcn.json"
    half.parent.mkdir(exist_ok=True)
    half.write_text("{")
    watch = Watch()
    result = forecaster().backtest(series(), FOLDS, refit=refit, models=models, out=out, watch=watch)
    assert len(watch.titles) == 1
    pd.testing.assert_frame_equal(result.scores, whole[refit].scores, check_exact=True)
    columns = [name for name in result.forecasts if name not in ("unique_id", "cutoff", "ds")]
    pd.testing.assert_frame_equal(result.forecasts[columns], whole[refit].forecasts[columns], check_exact=True)
    assert (result.forecasts["ds"] == whole[refit].forecasts["ds"]).all()


@pytest.mark.slow
def test_a_model_that_lost_some_folds_is_trained_on_the_same_part(whole: dict[Refit, Backtest], tmp_path: Path) -> None:
    out = tmp_path / "kept"
    forecaster().backtest(series(), FOLDS, models=["tcn"], out=out)
    (out / "folds" / str(FOLDS) / "tcn.parquet").unlink()
    result = forecaster().backtest(series(), FOLDS, models=["tcn"], out=out)
    np.testing.assert_array_equal(result.forecasts["tcn"], whole["never"].forecasts["tcn"])


def test_all_is_written_and_more_models_only_add(tmp_path: Path) -> None:
    out = tmp_path / "kept"
    first = forecaster().backtest(series(), FOLDS, models=["tcn"], out=out)
    watch = Watch()
    both = forecaster().backtest(series(), FOLDS, models=NETWORKS, out=out, watch=watch)
    assert watch.titles == ["attention_pooling, training"]
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


def test_what_the_default_chose_is_kept_too(tmp_path: Path) -> None:
    flat = series().assign(y=np.random.default_rng(1).normal(20, 1, 90))
    results = [forecaster(season=1).backtest(flat, 2, out=tmp_path / "kept") for _ in range(2)]
    assert results[0].choices == results[1].choices and results[1].label("default") == "default (seasonal_mean)"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"folds": 3}, "another folds"),
        ({"refit": "every"}, "another refit"),
        ({"data": series(91)}, "other data"),
        ({"seed": 1}, r"other options \(seed\)"),
        ({"options": {"units": 7}}, "has forecasts of tcn with other options"),
    ],
)
def test_another_backtest_is_not_mixed_in(changed: dict[str, object], words: str, tmp_path: Path) -> None:
    given: dict[str, object] = {"folds": FOLDS, "refit": "never", "data": series(), "seed": 0, "options": None}
    out = tmp_path / "kept"
    for number, values in enumerate((given, {**given, **changed})):
        # The naive ones have no options, and need no training.
        name = "tcn" if "options" in changed else "naive"
        made = forecaster(model=name, seed=values["seed"], options=values["options"])
        arguments = (values["data"], values["folds"], None, values["refit"])
        if number == 0:
            made.backtest(*arguments, out=out)  # type: ignore[arg-type]
        else:
            with pytest.raises(RunError, match=f"{words}.* --out"):
                made.backtest(*arguments, out=out)  # type: ignore[arg-type]


def test_another_graph_in_the_same_file_is_another_backtest(tmp_path: Path) -> None:
    panel, schema = load(series(), DataConfig(horizon=5))
    plan = plan_backtest(panel, schema, DataConfig(horizon=5), FOLDS)
    graph, out = tmp_path / "graph.csv", tmp_path / "kept"
    config = RunConfig(data=DataConfig(horizon=5, graph=str(graph)))
    graph.write_text("a,b\n0,1\n1,0\n")
    Folds.open(out, plan, config, "never").begin()
    Folds.open(out, plan, config, "never").begin()
    graph.write_text("a,b\n0,1\n0,0\n")
    with pytest.raises(RunError, match=r"another graph.* --out"):
        Folds.open(out, plan, config, "never")


def test_a_folder_of_something_else_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="is there already and is no backtest"):
        Forecaster("naive", horizon=5).backtest(series(), out=tmp_path)
    (tmp_path / "empty").mkdir()
    Forecaster("naive", horizon=5).backtest(series(), 1, out=tmp_path / "empty")
    told = json.loads((tmp_path / "empty" / "backtest.json").read_text())
    assert told["backtest"] == {"folds": 1, "step": 5, "refit": "never"} and told["data"]["series"] == 1


def test_models_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="there is no model 'arima'"):
        Forecaster(horizon=5).backtest(series(), models=["tcn", "arima"])
    with pytest.raises(ConfigError, match="unknown option 'units'"):
        Forecaster(horizon=5, options={"units": 4}).backtest(series(), models=["seq2seq", "naive"])

"""Frames of the user: names of columns, libraries, quantile levels, plots, callbacks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from keras_help import eager_training
from matplotlib.figure import Figure

import tsattn
from tsattn import Forecaster, plot_forecast
from tsattn.errors import ConfigError

HORIZON = 4
NIXTLA = ["unique_id", "ds", "y"]


def sales(names: list[str] | None = None) -> pd.DataFrame:
    """Sales of three shops of 60 days, with a season of a week."""
    days = pd.date_range("2024-01-01", periods=60)
    week = 20 + 5 * np.sin(np.arange(60) * 2 * np.pi / 7)
    parts = [pd.DataFrame({"shop": shop, "day": days, "sold": week * level}) for shop, level in (("a", 1), ("b", 3))]
    return pd.concat(parts, ignore_index=True).set_axis(names or ["shop", "day", "sold"], axis=1)


def naive(frame: Any, **options: Any) -> Forecaster:
    return Forecaster("seasonal_naive", HORIZON, **options).fit(frame)


@pytest.fixture(scope="module")
def shops() -> Forecaster:
    return naive(sales())


@pytest.mark.parametrize("names", [["shop", "day", "sold"], NIXTLA])
def test_forecasts_have_the_columns_of_the_data(names: list[str]) -> None:
    frame, (id, time, target) = sales(names), names
    forecaster = naive(frame)
    assert list(forecaster.predict().columns) == [id, time, target, f"{target}-lo-80", f"{target}-hi-80"]
    assert list(forecaster.predict().iloc[:, 0].unique()) == ["a", "b"]
    evaluation = forecaster.evaluate(frame, last_steps=2 * HORIZON)
    assert list(evaluation.forecasts.columns[:5]) == [id, "cutoff", time, target, "seasonal_naive"]
    assert evaluation.scored.by_series.columns[0] == id and list(evaluation.scored.by_origin.columns[:2]) == [
        id,
        "cutoff",
    ]
    # The observed values are those of the data, in whose place they can be merged.
    merged = evaluation.forecasts.merge(frame, on=[id, time], suffixes=("", "_data"))
    assert len(merged) == len(evaluation.forecasts) and (merged[target] == merged[f"{target}_data"].astype("f4")).all()
    backtest = forecaster.backtest(frame, folds=1)
    assert list(backtest.forecasts.columns[:4]) == [id, "cutoff", time, target]
    assert list(tsattn.forecast(frame, HORIZON).columns[:3]) == names


def test_names_where_the_data_have_no_such_column() -> None:
    wide = sales().pivot(index="day", columns="shop", values="sold").reset_index()
    several = naive(wide).predict()
    assert list(several.columns[:3]) == ["unique_id", "day", "y"] and list(several["unique_id"].unique()) == ["a", "b"]
    assert list(naive(wide[["day", "b"]]).predict().columns[:3]) == ["unique_id", "day", "b"]
    assert list(naive(wide["b"].to_numpy()).predict().columns[:3]) == NIXTLA
    parts = pd.DataFrame({"year": np.repeat(range(2001, 2011), 4), "quarter": np.tile(range(1, 5), 10), "gdp": 1.0})
    parts["gdp"] += parts["quarter"] + np.arange(40) % 3
    assert list(naive(parts).predict().columns[:3]) == ["unique_id", "ds", "gdp"]


def test_several_ids_and_targets() -> None:
    parts = [sales().assign(city=city, cost=np.arange(120) % 7 + 1.0) for city in ("x", "z")]
    frame = pd.concat(parts, ignore_index=True)[["city", "shop", "day", "sold", "cost"]]
    forecast = naive(frame, target=["sold", "cost"]).predict()
    assert list(forecast.columns[:3]) == ["city/shop", "day", "y"]
    assert list(forecast["city/shop"].unique()) == [
        f"{id}/{target}" for id in ("x/a", "x/b", "z/a", "z/b") for target in ("sold", "cost")
    ]


def test_a_name_that_another_column_has_leaves_the_standard_ones() -> None:
    frame = sales(["shop", "day", "naive"])
    forecaster = naive(frame)
    assert list(forecaster.predict().columns[:3]) == ["shop", "day", "naive"]
    forecasts = forecaster.evaluate(frame, last_steps=HORIZON).forecasts
    assert {"unique_id", "ds", "y", "naive"} < set(forecasts.columns) and forecasts.columns.is_unique


def test_polars_in_polars_out(shops: Forecaster) -> None:
    frame = pl.from_pandas(sales()).with_columns(pl.col("day").cast(pl.Date))
    forecaster = naive(frame)
    known = shops.predict()
    for found in (forecaster.predict(), shops.predict(frame), forecaster.predict(frame)):
        assert isinstance(found, pl.DataFrame) and found.schema["day"] == pl.Date
        pd.testing.assert_frame_equal(found.to_pandas(), known, check_dtype=False)
        assert not found.join(
            pl.from_pandas(known).select("shop", pl.col("day").cast(pl.Date)), on=["shop", "day"]
        ).is_empty()
    assert isinstance(forecaster.predict(sales()), pd.DataFrame)
    assert isinstance(forecaster.backtest(frame, folds=1).forecasts, pl.DataFrame)
    assert isinstance(forecaster.evaluate(frame, last_steps=HORIZON).forecasts, pl.DataFrame)
    assert isinstance(tsattn.forecast(frame, HORIZON), pl.DataFrame)
    assert forecaster.plot().get_xlabel() == "day"
    assert plot_forecast(forecaster.predict(), frame, id="b").get_title(loc="left") == "b"


def test_levels_of_a_prediction_are_among_the_fitted_ones(shops: Forecaster) -> None:
    five = naive(sales(), levels=(0.05, 0.1, 0.5, 0.9, 0.95))
    known = five.predict()
    found = five.predict(levels=(0.95, 0.05))
    pd.testing.assert_frame_equal(found, known[["shop", "day", "sold-lo-90", "sold-hi-90"]])
    pd.testing.assert_frame_equal(five.predict(levels=[0.5]), known[["shop", "day", "sold"]])
    with pytest.raises(ConfigError, match=r"fitted for, 0\.1, 0\.5, 0\.9\. Received: 0\.05: fit with those levels="):
        shops.predict(levels=[0.05, 0.5])
    with pytest.raises(ConfigError, match="Received: none"):
        shops.predict(levels=[])


def test_the_plot_of_a_series(shops: Forecaster) -> None:
    settings = dict(mpl.rcParams)
    axes = shops.plot(id="b", ax=Figure().subplots())
    forecast = shops.predict().query("shop == 'b'")
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == ("day", "sold", "b")
    median = next(line for line in axes.lines if len(line.get_ydata()) == HORIZON + 1)
    np.testing.assert_allclose(np.asarray(median.get_ydata())[1:], forecast["sold"], rtol=1e-6)
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == [
        "history",
        "forecast (median)",
        "80 % interval",
        "forecast origin",
    ]
    assert dict(mpl.rcParams) == settings
    with pytest.raises(ConfigError, match=r"such as a\. Received: id=c"):
        shops.plot(id="c")


def test_forecasts_of_other_packages_are_drawn() -> None:
    # The columns of statsforecast: the forecast has the name of its model.
    ahead = pd.DataFrame({"unique_id": "s", "ds": [10, 11], "AutoETS": [1.0, 2.0], "AutoETS-lo-95": 0.0})
    ahead["AutoETS-hi-95"] = 3.0
    past = pd.DataFrame({"unique_id": "s", "ds": range(10), "y": 1.0})
    axes = plot_forecast(ahead, past, ax=Figure().subplots())
    assert axes.get_ylabel() == "AutoETS" and len(axes.collections) == 1
    alone = plot_forecast(ahead, ax=Figure().subplots()).get_legend()
    assert alone is not None and [text.get_text() for text in alone.get_texts()] == [
        "forecast (median)",
        "95 % interval",
    ]


class Losses(keras.callbacks.Callback):
    """Collects the losses of the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.found.append((logs or {})["loss"])


@pytest.mark.usefixtures("short_training")
def test_keras_callbacks_follow_every_training(tmp_path: Path) -> None:
    options = {"units": 4}
    forecaster = Forecaster("attention_pooling", HORIZON, context=14, options=options, training={"epochs": 2})
    losses, titles = Losses(), []

    def callbacks(title: str) -> list[keras.callbacks.Callback]:
        titles.append(title)
        return [keras.callbacks.TensorBoard(tmp_path / title, write_graph=False), losses]

    with eager_training(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        forecaster.fit(sales(), callbacks=callbacks)
    assert titles[0] == "training" and set(titles) <= {"training", "training to the end"}
    assert forecaster.history_ is not None and losses.found[:1] == pytest.approx(forecaster.history_.loss)
    for title in titles:
        assert list((tmp_path / title).rglob("events.out.tfevents.*")), "TensorBoard wrote its events"


def test_the_version() -> None:
    assert tsattn.__version__ == "0.1.0" and "__version__" in dir(tsattn)

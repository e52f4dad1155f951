"""Forecast origins, counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import ConfigError, DataError
from tsattn.evaluation.origins import EvaluationWindows, choose_step, fold_origins, plan_backtest


def lengths(*steps: int) -> np.ndarray:
    return np.array(steps, dtype=np.int64)


def series(values: np.ndarray, name: str = "a", begin: str = "2024-01-01") -> pd.DataFrame:
    return pd.DataFrame({"unique_id": name, "ds": pd.date_range(begin, periods=len(values)), "y": values})


def planned(frame: pd.DataFrame, origins: int = 5, step: int | None = None, **config: object) -> EvaluationWindows:
    data = DataConfig(**config)
    return plan_backtest(*load(frame, data), data, origins, step)


def test_origins_are_counted_from_the_end_of_each_series() -> None:
    origins = fold_origins(lengths(100, 40), horizon=10, folds=3, step=7)
    assert origins.tolist() == [[76, 16], [83, 23], [90, 30]]


@pytest.mark.parametrize(
    ("steps", "horizon", "count", "step"),
    [
        ((144,), 12, 5, 12),  # 84 of 144 remain
        ((100,), 10, 5, 10),  # exactly half remains
        ((99,), 10, 5, 9),  # 100 // 2 - 10 over 4 gaps
        ((289,), 48, 5, 24),
        ((289,), 48, 1, 48),
        ((1000, 40, 40), 10, 5, 2),  # by the median series: 20 - 10 over 4 gaps
        ((1000, 20, 20), 10, 5, 1),  # at least 1, though less than half of the median series remains
        ((36,), 10, 5, 1),  # 22 remain, 21 are needed
    ],
)
def test_chosen_steps(steps: tuple[int, ...], horizon: int, count: int, step: int) -> None:
    assert choose_step(lengths(*steps), horizon, count) == step


def test_a_given_step_is_used() -> None:
    assert choose_step(lengths(144), 12, 5, 20) == 20
    assert choose_step(lengths(144), 12, 1, 3) == 3


@pytest.mark.parametrize(
    ("steps", "horizon", "count", "step", "hints"),
    [
        (
            34,
            10,
            5,
            None,
            r"at least 35 rows, .* has 34: set folds= to at most 4 or set horizon= to at most 9$",
        ),
        (35, 10, 5, 2, r"5 folds 2 steps apart .* at least 39 .*: set step= to at most 1, set folds= to at most 3 or"),
        (30, 10, 5, None, r"35 rows, and the longest has 30: set horizon= to at most 8$"),
        (30, 10, 1, None, r"a backtest of 1 fold with a horizon of 10 needs .* 31 rows.*set horizon= to at most 9"),
        (4, 1, 5, None, r"has 4: set folds= to at most 1$"),
        (7, 1, 5, 3, r"has 7: set folds= to at most 2$"),
        (13, 1, 5, 3, r"set step= to at most 2 or set folds= to at most 4$"),
        (3, 1, 1, None, r"has 3: provide more data$"),
    ],
)
def test_errors_name_values_that_fit(steps: int, horizon: int, count: int, step: int | None, hints: str) -> None:
    with pytest.raises(DataError, match=hints):
        choose_step(lengths(steps), horizon, count, step, "data.csv")


@pytest.mark.parametrize(("steps", "horizon", "count"), [(35, 10, 5), (31, 10, 1), (34, 9, 5), (8, 1, 5)])
def test_suggested_values_fit(steps: int, horizon: int, count: int) -> None:
    step = choose_step(lengths(steps), horizon, count)
    assert steps - horizon - (count - 1) * step >= 2 * horizon + 1
    assert len(planned(series(np.arange(float(steps))), count, horizon=horizon)) == count


def test_cutoffs_and_skipped_series() -> None:
    frame = pd.concat([series(np.arange(100.0)), series(np.arange(24.0), "b"), series(np.arange(8.0), "c")])
    plan = planned(frame, 3, 10, horizon=8)
    assert plan.cutoffs.to_dict("list") == {
        "first": [pd.Timestamp("2024-03-12"), pd.Timestamp("2024-01-06"), pd.Timestamp("2024-01-16")],
        "last": [pd.Timestamp("2024-03-12"), pd.Timestamp("2024-03-22"), pd.Timestamp("2024-04-01")],
        "series": [1, 2, 2],
        "skipped": [2, 1, 1],
    }
    assert plan.training().ids == ("a",) and plan.training().lengths.tolist() == [72]
    assert plan.training(2).ids == ("a", "b") and plan.training(2).lengths.tolist() == [92, 16]
    assert plan.training(2).series[1][-1] == 15


def test_channels_are_counted_as_series() -> None:
    frame = pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=60), "a": 1.5 * np.arange(60), "b": np.arange(60) % 4}
    )
    assert planned(frame, 2, horizon=5).cutoffs["series"].tolist() == [2, 2]


def test_season_and_horizon_are_inferred_before_the_first_origin() -> None:
    # With integer timestamps both are inferred from the values; near the end the season disappears.
    rng = np.random.default_rng(3)
    values = np.sin(np.arange(200) * 2 * np.pi / 10) + rng.normal(0, 0.1, 200)
    frame = pd.DataFrame({"step": np.arange(200), "y": values})
    plan = planned(frame)
    assert plan.schema.season == 10 and plan.schema.horizon == 20
    changed = frame.assign(y=frame["y"].where(frame["step"] < plan.origins[0, 0], 1e9 * rng.normal(size=200)))
    assert load(changed)[1].season == 1, "the whole data have no season"
    again = planned(changed)
    assert (again.schema.season, again.schema.horizon) == (10, 20)
    assert again.origins.tolist() == plan.origins.tolist()
    decided = {setting.field: setting.value for setting in again.schema.inferred_settings}
    assert decided["season"] == "10" and decided["horizon"] == "20"


def test_folds_over_more_than_half_of_the_data() -> None:
    rng = np.random.default_rng(3)
    values = np.sin(np.arange(200) * 2 * np.pi / 10) + rng.normal(0, 0.1, 200)
    frame = pd.DataFrame({"step": np.arange(200), "y": values})
    plan = planned(frame, 5, 30)
    first = int(plan.origins[0, 0])
    assert first == 200 - plan.schema.horizon - 120 < 100
    changed = frame.assign(y=frame["y"].where(frame["step"] < first, 1e9 * rng.normal(size=200)))
    assert planned(changed, 5, 30).schema == plan.schema


def test_given_season_and_horizon() -> None:
    schema = planned(series(np.arange(100.0)), season=3, horizon=4).schema
    assert (schema.season, schema.horizon) == (3, 4)
    assert all(setting.given for setting in schema.inferred_settings if setting.field in ("season", "horizon"))


def test_invalid_numbers_and_empty_ends() -> None:
    frame = series(np.arange(100.0))
    with pytest.raises(ConfigError, match="folds must be 1 or more"):
        planned(frame, 0)
    with pytest.raises(ConfigError, match="step must be 1 or more"):
        planned(frame, 5, 0)
    frame.loc[frame.index[50:], "y"] = np.nan
    with pytest.raises(DataError, match="remove the rows that lie in the future"):
        planned(frame, 5, horizon=10)

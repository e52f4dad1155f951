"""Where a backtest cuts: counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import ConfigError, DataError
from tsattn.evaluation.origins import BacktestPlan, origins_of, plan_backtest, step_between


def lengths(*steps: int) -> np.ndarray:
    return np.array(steps, dtype=np.int64)


def series(values: np.ndarray, name: str = "a", begin: str = "2024-01-01") -> pd.DataFrame:
    return pd.DataFrame({"unique_id": name, "ds": pd.date_range(begin, periods=len(values)), "y": values})


def planned(frame: pd.DataFrame, origins: int = 5, step: int | None = None, **config: object) -> BacktestPlan:
    data = DataConfig(**config)
    return plan_backtest(*load(frame, data), data, origins, step)


def test_origins_are_counted_from_the_end_of_each_series() -> None:
    origins = origins_of(lengths(100, 40), horizon=10, count=3, step=7)
    assert origins.tolist() == [[76, 16], [83, 23], [90, 30]]


@pytest.mark.parametrize(
    ("steps", "horizon", "count", "step"),
    [
        ((144,), 12, 5, 12),  # 84 of 144 are left
        ((100,), 10, 5, 10),  # exactly half is left
        ((99,), 10, 5, 9),  # 100 // 2 - 10 over 4 gaps
        ((289,), 48, 5, 24),
        ((289,), 48, 1, 48),
        ((1000, 40, 40), 10, 5, 2),  # by the median series: 20 - 10 over 4 gaps
        ((1000, 20, 20), 10, 5, 1),  # at least 1, though the median series keeps less than half
        ((36,), 10, 5, 1),  # 22 are left, 21 are needed
    ],
)
def test_steps_between(steps: tuple[int, ...], horizon: int, count: int, step: int) -> None:
    assert step_between(lengths(*steps), horizon, count) == step


def test_a_step_that_was_given_is_taken() -> None:
    assert step_between(lengths(144), 12, 5, 20) == 20
    assert step_between(lengths(144), 12, 1, 3) == 3


@pytest.mark.parametrize(
    ("steps", "horizon", "count", "step", "mends"),
    [
        (34, 10, 5, None, r"at least 35 rows, and the longest has 34: .*at most 4 folds or a horizon of at most 9$"),
        (35, 10, 5, 2, r"5 folds 2 steps apart .* at least 39 .*: give a step of at most 1 or at most 3 folds or"),
        (30, 10, 5, None, r"give a horizon of at most 8$"),
        (30, 10, 1, None, r"a backtest of 1 fold with a horizon of 10 needs .* 31 rows.*give a horizon of at most 9"),
        (4, 1, 5, None, r"give 1 fold$"),
        (7, 1, 5, 3, r"give at most 2 folds$"),
        (13, 1, 5, 3, r"give a step of at most 2 or at most 4 folds$"),
        (3, 1, 1, None, r"give more data$"),
    ],
)
def test_too_short_says_what_to_give(steps: int, horizon: int, count: int, step: int | None, mends: str) -> None:
    with pytest.raises(DataError, match=mends):
        step_between(lengths(steps), horizon, count, step, "data.csv")


@pytest.mark.parametrize(("steps", "horizon", "count"), [(35, 10, 5), (31, 10, 1), (34, 9, 5), (8, 1, 5)])
def test_what_the_message_says_fits(steps: int, horizon: int, count: int) -> None:
    step = step_between(lengths(steps), horizon, count)
    assert steps - horizon - (count - 1) * step >= 2 * horizon + 1
    assert len(planned(series(np.arange(float(steps))), count, horizon=horizon)) == count


def test_cutoffs_and_what_is_left_out() -> None:
    frame = pd.concat([series(np.arange(100.0)), series(np.arange(24.0), "b"), series(np.arange(8.0), "c")])
    plan = planned(frame, 3, 10, horizon=8)
    assert plan.cutoffs.to_dict("list") == {
        "first": [pd.Timestamp("2024-03-12"), pd.Timestamp("2024-01-06"), pd.Timestamp("2024-01-16")],
        "last": [pd.Timestamp("2024-03-12"), pd.Timestamp("2024-03-22"), pd.Timestamp("2024-04-01")],
        "series": [1, 2, 2],
        "left_out": [2, 1, 1],
    }
    assert plan.training().ids == ("a",) and plan.training().lengths.tolist() == [72]
    assert plan.training(2).ids == ("a", "b") and plan.training(2).lengths.tolist() == [92, 16]
    assert plan.training(2).series(1)[-1] == 15


def test_channels_are_counted_as_series() -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "a": 1.0 * np.arange(60), "b": np.ones(60)})
    assert planned(frame, 2, horizon=5).cutoffs["series"].tolist() == [2, 2]


def test_season_and_horizon_are_decided_before_the_first_origin() -> None:
    # On whole-number stamps both follow from the values: here there is a season until, near the end, there is none.
    rng = np.random.default_rng(3)
    values = np.sin(np.arange(200) * 2 * np.pi / 10) + rng.normal(0, 0.1, 200)
    frame = pd.DataFrame({"step": np.arange(200), "y": values})
    plan = planned(frame)
    assert plan.schema.season == 10 and plan.schema.horizon == 20
    changed = frame.assign(y=frame["y"].where(frame["step"] < plan.origins[0, 0], 1e9 * rng.normal(size=200)))
    assert load(changed)[1].season == 1, "the whole data would say otherwise"
    again = planned(changed)
    assert (again.schema.season, again.schema.horizon) == (10, 20)
    assert again.origins.tolist() == plan.origins.tolist()
    decided = {decision.field: decision.value for decision in again.schema.decisions}
    assert decided["season"] == "10" and decided["horizon"] == "20"


def test_origins_that_take_more_than_half_are_planned_from_less() -> None:
    rng = np.random.default_rng(3)
    values = np.sin(np.arange(200) * 2 * np.pi / 10) + rng.normal(0, 0.1, 200)
    frame = pd.DataFrame({"step": np.arange(200), "y": values})
    plan = planned(frame, 5, 30)
    first = int(plan.origins[0, 0])
    assert first == 200 - plan.schema.horizon - 120 < 100
    changed = frame.assign(y=frame["y"].where(frame["step"] < first, 1e9 * rng.normal(size=200)))
    assert planned(changed, 5, 30).schema == plan.schema


def test_what_was_said_is_kept() -> None:
    schema = planned(series(np.arange(100.0)), season=3, horizon=4).schema
    assert (schema.season, schema.horizon) == (3, 4)
    assert all(decision.given for decision in schema.decisions if decision.field in ("season", "horizon"))


def test_wrong_numbers_and_empty_ends() -> None:
    frame = series(np.arange(100.0))
    with pytest.raises(ConfigError, match="folds must be 1 or more"):
        planned(frame, 0)
    with pytest.raises(ConfigError, match="step must be 1 or more"):
        planned(frame, 5, 0)
    frame.loc[frame.index[50:], "y"] = np.nan
    with pytest.raises(DataError, match="leave out rows"):
        planned(frame, 5, horizon=10)

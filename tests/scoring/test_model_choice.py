"""Choice between a network and the naive baselines, for tables made by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tsattn.scoring.model_choice import BaselineFallback, best_baseline, count_distinct_targets

UNKNOWN = float("nan")


def scores(mase: dict[str, float], mae: dict[str, float] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"model": list(mase), "mase": list(mase.values()), "mae": list((mae or mase).values())})


def test_the_baseline_with_the_lowest_mase() -> None:
    table = scores(
        {"naive": 1.2, "drift": 0.9, "seasonal_mean": 1.0}, {"naive": 1.0, "drift": 3.0, "seasonal_mean": 2.0}
    )
    assert best_baseline(table) == "drift"


def test_without_a_scale_the_mae_decides() -> None:
    table = scores(
        {"naive": UNKNOWN, "drift": UNKNOWN, "seq2seq": UNKNOWN}, {"naive": 2.0, "drift": 1.0, "seq2seq": 0.5}
    )
    assert best_baseline(table.query("model != 'seq2seq'")) == "drift"
    choice = BaselineFallback.decide(table, "seq2seq", "drift", 1)
    assert choice.metric == "mae" and choice.selected == "seq2seq" and "MAE 0.5 against 1" in choice.summary()


def test_without_any_error() -> None:
    table = scores(dict.fromkeys(("naive", "drift", "seq2seq"), UNKNOWN))
    assert best_baseline(table) == "naive"
    choice = BaselineFallback.decide(table, "seq2seq", "naive", 1)
    assert choice.selected == "naive" and "cannot be compared" in choice.summary()


@pytest.mark.parametrize(
    ("network", "targets", "selected"),
    [
        (0.87, 1, "seasonal_mean"),  # a single forecast requires 30 %
        (0.71, 1, "seasonal_mean"),
        (0.69, 1, "seq2seq"),
        (0.86, 4, "seasonal_mean"),  # 15 %
        (0.84, 4, "seq2seq"),
        (0.96, 100, "seq2seq"),  # 3 %
        (1.00, 10**6, "seasonal_mean"),
        (UNKNOWN, 100, "seasonal_mean"),
    ],
)
def test_the_margin_decreases_with_the_number_of_forecasts(network: float, targets: int, selected: str) -> None:
    # Another baseline that is better on the validation part does not matter.
    table = scores({"drift": 0.1, "seq2seq": network, "seasonal_mean": 1.0})
    assert BaselineFallback.decide(table, "seq2seq", "seasonal_mean", targets).selected == selected


def test_a_baseline_without_error_cannot_be_beaten() -> None:
    choice = BaselineFallback.decide(scores({"naive": 0.0, "seq2seq": 0.2}), "seq2seq", "naive", 50)
    assert choice.selected == "naive" and "no better" in choice.summary()


def test_summary() -> None:
    table = scores({"seq2seq": 0.87, "drift": 1.0})
    assert BaselineFallback.decide(table, "seq2seq", "drift", 1).summary() == (
        "Selected: drift, the best naive baseline over the history. seq2seq is only 13% better on the validation part, "
        "where one forecast requires 30%: MASE 0.87 against 1. To use the network anyway, set model=seq2seq."
    )
    assert (
        "where 9 forecasts require 10%"
        in BaselineFallback.decide(scores({"seq2seq": 0.95, "drift": 1}), "seq2seq", "drift", 9).summary()
    )
    assert (
        BaselineFallback.decide(table, "seq2seq", "drift", 100)
        .summary()
        .startswith("Selected: seq2seq. On the validation part it beats")
    )


@pytest.mark.parametrize("error", [0.5, 2.0, UNKNOWN])
def test_json_round_trip(error: float) -> None:
    choice = BaselineFallback.decide(scores({"seq2seq": error, "drift": 1.0}), "seq2seq", "drift", 3)
    written = json.dumps(choice.to_dict(), allow_nan=False)
    assert json.loads(written)["selected"] == choice.selected
    read = BaselineFallback.from_dict(json.loads(written))
    assert read.to_dict() == choice.to_dict() and np.isnan(read.network_error) == np.isnan(error)


def test_number_of_distinct_targets() -> None:
    lengths = np.array([100, 50, 11, 3])
    assert count_distinct_targets(lengths, 1, 20, 10) == 2 + 2 + 1 + 0
    assert count_distinct_targets(lengths, 3, 20, 10) == 15
    assert count_distinct_targets(lengths[3:], 1, 9, 10) == 1, "at least one"

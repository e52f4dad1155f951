"""What is kept of a network and the naive baselines, by tables made by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tsattn.scoring.model_choice import Choice, choose, choose_baseline, distinct_targets

UNKNOWN = float("nan")


def scores(mase: dict[str, float], mae: dict[str, float] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"model": list(mase), "mase": list(mase.values()), "mae": list((mae or mase).values())})


def test_the_baseline_with_the_least_mase() -> None:
    table = scores(
        {"naive": 1.2, "drift": 0.9, "seasonal_mean": 1.0}, {"naive": 1.0, "drift": 3.0, "seasonal_mean": 2.0}
    )
    assert choose_baseline(table) == "drift"


def test_without_a_scale_the_mae_decides() -> None:
    table = scores(
        {"naive": UNKNOWN, "drift": UNKNOWN, "seq2seq": UNKNOWN}, {"naive": 2.0, "drift": 1.0, "seq2seq": 0.5}
    )
    assert choose_baseline(table.query("model != 'seq2seq'")) == "drift"
    choice = choose(table, "seq2seq", "drift", 1)
    assert choice.metric == "mae" and choice.kept == "seq2seq" and "MAE 0.5 against 1" in choice.sentence()


def test_nothing_is_known() -> None:
    table = scores(dict.fromkeys(("naive", "drift", "seq2seq"), UNKNOWN))
    assert choose_baseline(table) == "naive"
    choice = choose(table, "seq2seq", "naive", 1)
    assert choice.kept == "naive" and "cannot be compared" in choice.sentence()


@pytest.mark.parametrize(
    ("network", "targets", "kept"),
    [
        (0.87, 1, "seasonal_mean"),  # one forecast says little: 30 % are asked for
        (0.71, 1, "seasonal_mean"),
        (0.69, 1, "seq2seq"),
        (0.86, 4, "seasonal_mean"),  # 15 %
        (0.84, 4, "seq2seq"),
        (0.96, 100, "seq2seq"),  # 3 %
        (1.00, 10**6, "seasonal_mean"),
        (UNKNOWN, 100, "seasonal_mean"),
    ],
)
def test_the_margin_goes_down_with_the_number_of_forecasts(network: float, targets: int, kept: str) -> None:
    # That another baseline is better on the validation part does not matter.
    table = scores({"drift": 0.1, "seq2seq": network, "seasonal_mean": 1.0})
    assert choose(table, "seq2seq", "seasonal_mean", targets).kept == kept


def test_a_baseline_without_error_cannot_be_beaten() -> None:
    choice = choose(scores({"naive": 0.0, "seq2seq": 0.2}), "seq2seq", "naive", 50)
    assert choice.kept == "naive" and "no better" in choice.sentence()


def test_the_sentence_tells_what_was_kept_why_and_how_to_insist() -> None:
    table = scores({"seq2seq": 0.87, "drift": 1.0})
    assert choose(table, "seq2seq", "drift", 1).sentence() == (
        "Kept: drift, the best naive baseline over the history. seq2seq is only 13% better on the validation part, "
        "where one forecast asks for 30%: MASE 0.87 against 1. To keep it all the same, name it: --model seq2seq."
    )
    assert (
        "where 9 forecasts ask for 10%"
        in choose(scores({"seq2seq": 0.95, "drift": 1}), "seq2seq", "drift", 9).sentence()
    )
    assert (
        choose(table, "seq2seq", "drift", 100).sentence().startswith("Kept: seq2seq. On the validation part it beats")
    )


@pytest.mark.parametrize("error", [0.5, 2.0, UNKNOWN])
def test_as_json_and_back(error: float) -> None:
    choice = choose(scores({"seq2seq": error, "drift": 1.0}), "seq2seq", "drift", 3)
    written = json.dumps(choice.to_dict(), allow_nan=False)
    assert json.loads(written)["kept"] == choice.kept
    read = Choice.from_dict(json.loads(written))
    assert read.to_dict() == choice.to_dict() and np.isnan(read.network_error) == np.isnan(error)


def test_targets_that_do_not_overlap() -> None:
    lengths = np.array([100, 50, 11, 3])
    assert distinct_targets(lengths, 1, 20, 10) == 2 + 2 + 1 + 0
    assert distinct_targets(lengths, 3, 20, 10) == 15
    assert distinct_targets(lengths[3:], 1, 9, 10) == 1, "never none"

"""The sentence that compares a model with the naive baselines."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tsattn.scoring.model_choice import comparison_summary


def scores(**mase: float) -> pd.DataFrame:
    return pd.DataFrame({"model": list(mase), "mase": list(mase.values())})


def test_a_better_model() -> None:
    assert comparison_summary(scores(seq2seq=0.8, naive=1.0, drift=2.0), "seq2seq").startswith(
        "seq2seq is 20% better than the best naive baseline, naive"
    )


def test_a_better_baseline() -> None:
    sentence = comparison_summary(scores(seq2seq=1.1, naive=1.0, drift=2.0), "seq2seq")
    assert sentence.startswith("The naive baseline naive is better") and "1.100 against 1.000" in sentence


def test_a_baseline_without_error() -> None:
    assert comparison_summary(scores(seq2seq=0.5, naive=0.0), "seq2seq", "at 5 origins").startswith(
        "The naive baseline naive is better"
    )


def test_without_a_scale() -> None:
    assert "could not be ranked" in comparison_summary(scores(seq2seq=np.nan, naive=np.nan), "seq2seq")


def test_a_default_equal_to_the_best_baseline() -> None:
    sentence = comparison_summary(scores(default=1.0, seasonal_mean=1.0, naive=2.0), "default")
    assert sentence.startswith("default is as good as the best naive baseline, seasonal_mean: MASE 1.000 against 1.000")

"""Keras's own tests of attention, with the layers of this package in place of Keras's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from case_builders import KEYS, normal
from keras_help import outputs

from tsattn.layers import Attention, MultiHeadAttention

slow = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # their warnings are for them
reason = "Keras lacks its tests"
multi_head = pytest.importorskip("keras.src.layers.attention.multi_head_attention_test", reason=reason)
grouped = pytest.importorskip("keras.src.layers.attention.grouped_query_attention_test", reason=reason)
attention = pytest.importorskip("keras.src.layers.attention.attention_test", reason=reason)
additive = pytest.importorskip("keras.src.layers.attention.additive_attention_test", reason=reason)


@keras.saving.register_keras_serializable(package="tests")
class GroupedQueryAttention(MultiHeadAttention):
    """`MultiHeadAttention` with the arguments of `keras.layers.GroupQueryAttention`."""

    def __init__(self, head_dim: int, num_query_heads: int, num_key_value_heads: int, **kwargs: Any) -> None:
        super().__init__(num_query_heads, head_dim, num_key_value_heads=num_key_value_heads, **kwargs)
        self.sliding_window = kwargs.get("sliding_window")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config |= {"num_query_heads": config["num_heads"], "head_dim": config["key_dim"]}
        absent = ("num_heads", "key_dim", "value_dim", "output_shape", "attention_axes")
        return {name: value for name, value in config.items() if name not in absent}


class KerasAttention(Attention):
    """`Attention` with the arguments of `keras.layers.Attention` that it has; its vector starts at 1, as in Keras."""

    def __init__(self, score_mode: str = "dot", score: str | None = None, **kwargs: Any) -> None:
        super().__init__(score or {"dot": "dot", "concat": "additive"}[score_mode], **kwargs)

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        if "vector" in self._score_weights:
            vector = self._score_weights["vector"]
            vector.assign(np.ones(vector.shape))


class KerasAdditiveAttention(KerasAttention):
    def __init__(self, use_scale: bool = True) -> None:
        super().__init__("concat")


def chosen(theirs: Any, *names: str) -> dict[str, Any]:
    """Return tests of `theirs` on what both layers have, not those of wording, scale and Keras's own methods."""
    return {name: vars(theirs)[name] for name in names}


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {
        **vars(keras.layers),
        "MultiHeadAttention": MultiHeadAttention,
        "GroupedQueryAttention": GroupedQueryAttention,
        "Attention": KerasAttention,
        "AdditiveAttention": KerasAdditiveAttention,
    }
    for theirs in (multi_head, grouped, attention, additive):
        monkeypatch.setattr(theirs, "layers", SimpleNamespace(**names))


class TestMultiHeadAttention(multi_head.MultiHeadAttentionTest):
    pytestmark = slow


class TestGroupedQueryAttention(grouped.GroupedQueryAttentionTest):
    pytestmark = slow
    # Query and value may have different sizes here, as in `MultiHeadAttention`.
    test_shape_mismatch_error_query_value_dim_mismatch = None


TestAttention = type(
    "TestAttention",
    (keras.src.testing.TestCase,),
    chosen(
        attention.AttentionTest,
        "test_attention_seed_preserved_in_config",
        "test_attention_correctness",
        "test_attention_2D_mask_shape_mismatch",
        "test_return_attention_scores_true",
        "test_return_attention_scores_true_and_tuple",
        "test_return_attention_scores_with_symbolic_tensors",
    ),
)

TestAdditiveAttention = type(
    "TestAdditiveAttention",
    (keras.src.testing.TestCase,),
    chosen(additive.AdditiveAttentionTest, "test_attention_correctness"),
)


def test_grouped_heads_give_the_outputs_of_keras() -> None:
    query, value = normal(3, 4, 6), normal(3, 5, 6)
    known = keras.layers.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2)
    ours = MultiHeadAttention(4, 3, num_key_value_heads=2)
    arguments = {"query_mask": np.ones((3, 4), bool), "value_mask": KEYS, "return_attention_scores": True}
    expected = outputs(known(query, value, **arguments))
    ours(query, value)
    ours.set_weights(known.get_weights())
    for part, other in zip(outputs(ours(query, value, **arguments)), expected, strict=True):
        np.testing.assert_allclose(part, other, atol=1e-6)

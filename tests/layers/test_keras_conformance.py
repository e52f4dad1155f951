"""Keras's own tests of attention, with the layer of this package in place of Keras's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import pytest

from tsattn.layers import MultiHeadAttention

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # their warnings are for them
theirs = pytest.importorskip("keras.src.layers.attention.multi_head_attention_test", reason="Keras lacks its tests")


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {**vars(keras.layers), "MultiHeadAttention": MultiHeadAttention}
    monkeypatch.setattr(theirs, "layers", SimpleNamespace(**names))


class TestMultiHeadAttention(theirs.MultiHeadAttentionTest):
    pass

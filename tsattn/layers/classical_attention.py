"""The two classical forms of attention by name."""

from __future__ import annotations

from typing import Any

import keras

from tsattn.errors import ConfigError
from tsattn.layers.attention import Attention


@keras.saving.register_keras_serializable(package="tsattn")
class BahdanauAttention(Attention):
    """Additive attention, `v^T tanh(W q + U k + b)`.

    Shorthand for `Attention` with this score; its other arguments are accepted as well.

    Args:
        units: Size of the learned projections of query and key.
        normalize: Whether to replace `v` by `g v / ||v||`, with a learned norm g.

    Example:
        >>> context = BahdanauAttention(32)(query, value, value_mask=mask)

    Reference:
        Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and Translate.
    """

    def __init__(self, units: int, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__("normalized_additive" if normalize else "additive", units, **kwargs)
        self.normalize = normalize

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "normalize": self.normalize}
        del config["score"]
        return config


@keras.saving.register_keras_serializable(package="tsattn")
class LuongAttention(Attention):
    """Multiplicative attention with one of the scores of Luong et al.

    Shorthand for `Attention` with this score; its other arguments are accepted as well.

    Args:
        score: `"general"` (`q^T W k`), `"dot"` or `"concat"`.
        scale: Whether to multiply the general score by a learned scalar.

    Example:
        >>> context = LuongAttention(alignment="local")(query, value, value_mask=mask)

    Reference:
        Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation.
    """

    def __init__(self, score: str = "general", scale: bool = False, **kwargs: Any) -> None:
        if score not in ("general", "dot", "concat"):
            raise ConfigError(f"the score of Luong's attention must be general, dot or concat. Received: {score!r}")
        if scale and score != "general":
            raise ConfigError(f"scale requires the general score. Received: score={score!r}")
        super().__init__("scaled_general" if scale else score, **kwargs)
        self.scale = scale

    def get_config(self) -> dict[str, Any]:
        score = "general" if self.scale else self.score
        return {**super().get_config(), "score": score, "scale": self.scale}

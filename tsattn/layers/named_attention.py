"""The two attentions of recurrent encoder-decoders by the names of their authors."""

from __future__ import annotations

from typing import Any

import keras

from tsattn.errors import ConfigError
from tsattn.layers.attention import Attention


@keras.saving.register_keras_serializable(package="tsattn")
class BahdanauAttention(Attention):
    """Additive attention, `v^T tanh(W q + U k + b)`: `Attention` of that score, with all its other arguments.

    Args:
        units: size of the learned projections of query and key.
        normalize: whether `v` is `g v / ||v||`, with a learned length g.

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
    """Multiplicative attention: `Attention` of one of the scores of Luong et al., with all its other arguments.

    Args:
        score: `"general"` (`q^T W k`), `"dot"` or `"concat"`.
        scale: whether the general score is multiplied by a learned number.

    Example:
        >>> context = LuongAttention(alignment="local")(query, value, value_mask=mask)

    Reference:
        Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation.
    """

    def __init__(self, score: str = "general", scale: bool = False, **kwargs: Any) -> None:
        if score not in ("general", "dot", "concat"):
            raise ConfigError(f"the score of Luong's attention must be general, dot or concat. Received: {score!r}")
        if scale and score != "general":
            raise ConfigError(f"scale needs the general score. Received: score={score!r}")
        super().__init__("scaled_general" if scale else score, **kwargs)
        self.scale = scale

    def get_config(self) -> dict[str, Any]:
        score = "general" if self.scale else self.score
        return {**super().get_config(), "score": score, "scale": self.scale}

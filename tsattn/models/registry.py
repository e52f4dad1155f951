"""The models by name. Builders are imported only when a model is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tsattn.config import Options, validated
from tsattn.errors import ConfigError
from tsattn.models.options import (
    AttentionPoolingOptions,
    BaselineOptions,
    Seq2SeqOptions,
    TCNOptions,
    TransformerOptions,
)


@dataclass(frozen=True)
class ModelEntry:
    """A model by name.

    Args:
        name: what the user calls it.
        summary: one line for `tsattn models`.
        options: the class of its options.
        builder: `module:function`: of options, window spec and whether it must be portable; of name and window spec
            for a baseline.
        trained: whether it has weights to train; a baseline has none.
    """

    name: str
    summary: str
    options: type[Options]
    builder: str
    trained: bool = True

    def build(self) -> Callable[..., Any]:
        """Import and return the builder."""
        module, function = self.builder.split(":")
        builder: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return builder


_NETWORK = "tsattn.models"
_BASELINE = "tsattn.models.baselines:baseline"

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            "seq2seq",
            "recurrent encoder-decoder with attention over segments of time (the default)",
            Seq2SeqOptions,
            f"{_NETWORK}.seq2seq:seq2seq",
        ),
        ModelEntry(
            "attention_pooling",
            "bidirectional LSTM, attention pooling, direct multi-horizon head",
            AttentionPoolingOptions,
            f"{_NETWORK}.attention_pooling:attention_pooling",
        ),
        ModelEntry(
            "tcn",
            "dilated causal convolutions, read at the last step or pooled by attention",
            TCNOptions,
            f"{_NETWORK}.tcn:tcn",
        ),
        ModelEntry(
            "transformer",
            "Transformer encoder-decoder over segments of time",
            TransformerOptions,
            f"{_NETWORK}.transformer:transformer",
        ),
        ModelEntry("naive", "the last observed value", BaselineOptions, _BASELINE, False),
        ModelEntry("seasonal_naive", "the last observed season", BaselineOptions, _BASELINE, False),
        ModelEntry("drift", "the line from the first to the last value", BaselineOptions, _BASELINE, False),
        ModelEntry(
            "seasonal_mean",
            "the mean of the history at the same point of the season",
            BaselineOptions,
            _BASELINE,
            False,
        ),
    )
}

BASELINES = tuple(name for name, entry in MODELS.items() if not entry.trained)


def get_model(name: str) -> ModelEntry:
    """Return the model called ``name``.

    Raises:
        ConfigError: there is none.
    """
    if name not in MODELS:
        raise ConfigError(f"there is no model '{name}'; the models are {', '.join(MODELS)}")
    return MODELS[name]


def resolve_options(model: dict[str, Any], *, source: str = "the configuration") -> tuple[ModelEntry, Options]:
    """Split ``{"name": ..., option: value}`` into the model and its validated options."""
    entry = get_model(str(model.get("name", "seq2seq")))
    options = {key: value for key, value in model.items() if key != "name"}
    return entry, validated(entry.options, options, f"{source}: model {entry.name}")

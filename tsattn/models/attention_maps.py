"""Attention weights of every head of every layer of a model."""

from __future__ import annotations

from typing import Any

import keras

from tsattn.layers import GraphAttention, TransformerDecoderBlock, TransformerEncoderBlock
from tsattn.layers.ops import Tensor
from tsattn.models.transformer import DecoderAttention, TransformerDecoder

ATTENTION_LAYERS = (TransformerEncoderBlock, TransformerDecoderBlock, GraphAttention)
"""Layers that return their attention weights after their output."""


def attention_maps(model: keras.Model) -> keras.Model:
    """Return a model with the same inputs and weights whose outputs are the attention weights of every layer.

    The outputs are lists of maps `(rows, heads, queries, keys)` by layer name: the self-attention of a Transformer
    encoder block; the self-attention and cross-attention of a decoder block; the attention between nodes of graph
    attention. `rows` is batch times context scales, for a Transformer also times independent channels. Names of
    ensemble members are prefixed, `member/layer`, as are the blocks of an autoregressive decoder, `decoder/block_0`.
    """
    maps: dict[str, list[Tensor]] = {}

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            inner = attention_maps(layer)
            maps.update({f"{layer.name}/{name}": weights for name, weights in inner(*args, **kwargs).items()})
        outputs = layer(*args, **kwargs)
        if isinstance(layer, TransformerDecoder):
            arguments = {name: kwargs[name] for name in ("features", "memory_mask") if name in kwargs}
            inner = DecoderAttention(layer)(outputs[0], *args, **arguments)
            maps.update({f"{layer.name}/block_{number}": list(pair) for number, pair in enumerate(inner)})
        if isinstance(layer, ATTENTION_LAYERS) and isinstance(outputs, list | tuple):
            maps[layer.name] = list(outputs[1:])
        return outputs

    clone = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(clone.input, maps, name=f"{model.name}_maps")

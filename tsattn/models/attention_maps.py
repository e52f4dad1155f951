"""What every head of every layer of a model looks at."""

from __future__ import annotations

from typing import Any

import keras

from tsattn.layers import GraphAttention, TransformerDecoderBlock, TransformerEncoderBlock
from tsattn.layers.masking import Tensor
from tsattn.models.transformer import DecoderAttention, TransformerDecoder

ATTENDING = (TransformerEncoderBlock, TransformerDecoderBlock, GraphAttention)
"""Layers that give their weights behind what they make."""


def attention_maps(model: keras.Model) -> keras.Model:
    """Return a model of the same inputs and weights that tells what every head of every layer looks at.

    Its outputs are lists by the name of each layer, of maps `(rows, heads, queries, keys)`. Of a Transformer's encoder
    block it is its self-attention; of a decoder block that and the weights over the memory; rows are the batch times
    look-backs times channels that are forecast by themselves. Of graph attention it is that between nodes, and rows are
    the batch times look-backs. The members of an ensemble stand as `member/layer`, the blocks of an autoregressive
    decoder as `decoder/block_0` and so on.
    """
    maps: dict[str, list[Tensor]] = {}

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            inner = attention_maps(layer)
            maps.update({f"{layer.name}/{name}": made for name, made in inner(*args, **kwargs).items()})
        made = layer(*args, **kwargs)
        if isinstance(layer, TransformerDecoder):
            known = {name: kwargs[name] for name in ("features", "memory_mask") if name in kwargs}
            inner = DecoderAttention(layer)(made[0], *args, **known)
            maps.update({f"{layer.name}/block_{number}": list(pair) for number, pair in enumerate(inner)})
        if isinstance(layer, ATTENDING) and isinstance(made, list | tuple):
            maps[layer.name] = list(made[1:])
        return made

    same = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(same.input, maps, name=f"{model.name}_maps")

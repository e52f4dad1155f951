"""Parts that architectures have in common: patches, recurrent layers, heads, copy attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from tsattn.layers import AttentionPooling, CopyAttention, Patching
from tsattn.layers.ops import Tensor, batched_take, last_observed, sequence_mask
from tsattn.models.architecture import ArchitectureInputs, ArchitectureOutputs, AttentionWeights
from tsattn.models.options import CopyingOptions, NetworkOptions
from tsattn.timeseries.windows import WindowSpec


@keras.saving.register_keras_serializable(package="tsattn")
class SegmentMask(keras.layers.Layer):
    """Mask of the patches with a valid step, from lengths `(batch,)`: boolean `(batch, segments)`."""

    def __init__(self, segments: int, patch_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.segments = segments
        self.patch_length = patch_length

    def call(self, length: Tensor) -> Tensor:
        return sequence_mask(-(-length // self.patch_length), self.segments)

    def compute_output_spec(self, length: Any) -> Any:
        return keras.KerasTensor((length.shape[0], self.segments), dtype="bool")


@keras.saving.register_keras_serializable(package="tsattn")
class SegmentSteps(keras.layers.Layer):
    """First and last step of the window in each patch, from lengths `(batch,)`: int32 `(batch, segments, 2)`.

    Both are -1 for a padded patch.
    """

    def __init__(self, segments: int, patch_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.segments = segments
        self.patch_length = patch_length

    def call(self, length: Tensor) -> Tensor:
        length = ops.cast(length, "int32")[:, None]
        first = length - self.patch_length * -(-length // self.patch_length)
        first = first + self.patch_length * ops.arange(self.segments, dtype="int32")[None, :]
        last = first + self.patch_length - 1
        steps = ops.stack([ops.maximum(first, 0), last], axis=-1)
        return ops.where(ops.expand_dims(last < length, -1), steps, -1)

    def compute_output_spec(self, length: Any) -> Any:
        return keras.KerasTensor((length.shape[0], self.segments, 2), dtype="int32")


@keras.saving.register_keras_serializable(package="tsattn")
class LastStep(keras.layers.Layer):
    """The last valid step of right-padded sequences: `(batch, time, features)` to `(batch, features)`.

    The first step is returned if the mask `(batch, time)` is False everywhere.
    """

    def call(self, inputs: Tensor, mask: Tensor) -> Tensor:
        last = ops.maximum(ops.sum(ops.cast(mask, "int32"), axis=1) - 1, 0)
        return batched_take(inputs, last[:, None])[:, 0]

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[0], inputs_shape[2])


@keras.saving.register_keras_serializable(package="tsattn")
class LastObserved(keras.layers.Layer):
    """The last observed value: `(batch, context, width)` and its observed mask to `(batch, 1, width, 1)`.

    It is 0 if no value is observed.
    """

    def call(self, values: Tensor, observed: Tensor) -> Tensor:
        return ops.expand_dims(last_observed(values, observed), -1)

    def compute_mask(self, values: Tensor, mask: Tensor | None = None) -> None:
        return None


@keras.saving.register_keras_serializable(package="tsattn")
class QuerySteps(keras.layers.Layer):
    """First and last step of the horizon in each query, from lengths `(batch,)`: int32 `(batch, queries, 2)`."""

    def __init__(self, horizon: int, query_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon
        self.query_length = query_length

    def call(self, length: Tensor) -> Tensor:
        first = list(range(0, self.horizon, self.query_length))
        steps = [[step, min(step + self.query_length, self.horizon) - 1] for step in first]
        return ops.broadcast_to(ops.array([steps], dtype="int32"), (ops.shape(length)[0], len(first), 2))

    def compute_output_spec(self, length: Any) -> Any:
        queries = -(-self.horizon // self.query_length)
        return keras.KerasTensor((length.shape[0], queries, 2), dtype="int32")


@keras.saving.register_keras_serializable(package="tsattn")
class HorizonSteps(keras.layers.Layer):
    """Reshape forecast patches to steps: `(batch, segments, patch * size)` to `(batch, horizon, *item)`."""

    def __init__(self, horizon: int, item: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon
        self.item = tuple(item)

    def call(self, inputs: Tensor) -> Tensor:
        size = 1
        for part in self.item:
            size *= part
        steps = inputs.shape[1] * inputs.shape[2] // size
        return ops.reshape(inputs, (-1, steps, *self.item))[:, : self.horizon]


@keras.saving.register_keras_serializable(package="tsattn")
class HorizonSegments(keras.layers.Layer):
    """Reshape steps to patches, padded with 0: `(batch, horizon, size)` to `(batch, segments, patch * size)`."""

    def __init__(self, patch_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_length = patch_length

    def call(self, inputs: Tensor) -> Tensor:
        _, horizon, size = inputs.shape
        segments = -(-horizon // self.patch_length)
        padded = ops.pad(inputs, [[0, 0], [0, segments * self.patch_length - horizon], [0, 0]])
        return ops.reshape(padded, (-1, segments, self.patch_length * size))


@keras.saving.register_keras_serializable(package="tsattn")
class AddToLevel(keras.layers.Layer):
    """Add to one quantile level: `(..., levels)` and `(..., 1)` to `(..., levels)`."""

    def __init__(self, level: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.level = level

    def call(self, inputs: list[Tensor]) -> Tensor:
        values, added = inputs
        return values + added * ops.one_hot(self.level, values.shape[-1], dtype=values.dtype)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape[0]


@keras.saving.register_keras_serializable(package="tsattn")
class LevelDropout(keras.layers.Layer):
    """Drop one quantile level of whole rows of `(rows, horizon, width, levels)` in training.

    The base that is added to the level afterwards is then the whole forecast of such a row (stochastic depth).

    Args:
        level: Index of the level.
        rate: Fraction of the rows.

    Reference:
        Huang et al. 2016, Deep Networks with Stochastic Depth.
    """

    def __init__(self, level: int, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.level = level
        self.rate = rate
        self._dropout = keras.layers.Dropout(rate, dtype=self.dtype_policy)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        factor = self._dropout(ops.ones_like(inputs[:, :1, :1, :1]), training=training)
        return inputs * ops.where(ops.arange(inputs.shape[-1]) == self.level, factor, ops.ones_like(factor))

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape


@keras.saving.register_keras_serializable(package="tsattn")
class QuantileHead(keras.layers.Dense):
    """Dense layer to `(..., units)`, levels last, whose inputs get a gradient from the median alone.

    The gradient of the other levels would make the median worse, see ``docs/design/default-model.md``.

    Args:
        units: Size of the output, a multiple of `levels`.
        levels: Number of quantile levels.
        median: Index of the level whose gradient is propagated.
    """

    def __init__(self, units: int, levels: int, median: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.levels = levels
        self.median = median

    def call(self, inputs: Tensor) -> Tensor:
        is_median = ops.arange(self.units) % self.levels == self.median
        return ops.where(is_median, super().call(inputs), super().call(ops.stop_gradient(inputs)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels, "median": self.median}


def rnn_layer(kind: str, units: int, *, portable: bool, **kwargs: Any) -> keras.layers.Layer:
    """Return a GRU or LSTM layer whose outputs at padded steps are 0 on every device."""
    layer = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[kind]
    return layer(
        units,
        return_sequences=True,
        zero_output_for_mask=True,
        use_cudnn=False if portable else "auto",
        **kwargs,
    )


def rnn_cell(kind: str, units: int) -> keras.layers.Layer:
    """Return a GRU or LSTM cell."""
    return {"gru": keras.layers.GRUCell, "lstm": keras.layers.LSTMCell}[kind](units)


@dataclass(frozen=True)
class SegmentedWindow:
    """A window in patches.

    Args:
        tokens: `(rows, segments, units)`, the embedded patches.
        values: `(rows, segments, patch_length * width)`, 0 where missing.
        observed: `(rows, segments, patch_length * width)`, 0 or 1.
        mask: Boolean `(rows, segments)`.
    """

    tokens: Tensor
    values: Tensor
    observed: Tensor
    mask: Tensor


class Segments:
    """Embed the patches of a window as tokens, with their mask and their time steps.

    Args:
        context: Steps of the window.
        patch_length: Steps per patch.
        units: Size of a token.
    """

    def __init__(self, context: int, patch_length: int, units: int) -> None:
        count = -(-context // patch_length)
        self._patching = Patching(patch_length, name="patching")
        self._join = keras.layers.Concatenate(name="values_and_observed")
        self.count = count
        self.patch = patch_length
        self._embed = keras.layers.Dense(units, activation="relu", name="segment_embedding")
        self._mask = SegmentMask(count, patch_length, name="segment_mask")
        self.steps = SegmentSteps(count, patch_length, name="segment_steps")
        self._step_mask = SegmentMask(context, 1, name="step_mask")

    def __call__(self, inputs: ArchitectureInputs) -> SegmentedWindow:
        mask = self._step_mask(inputs.length)
        parts = (inputs.values, inputs.observed, *([] if inputs.covariates is None else [inputs.covariates]))
        segments = [self._patching(x, mask=mask) for x in parts]
        return SegmentedWindow(self._embed(self._join(segments)), segments[0], segments[1], self._mask(inputs.length))


class DirectHead:
    """Map a vector and the static features of a row to all steps of the horizon.

    Args:
        options: Options of the network.
        spec: The window.
    """

    def __init__(self, options: NetworkOptions, spec: WindowSpec) -> None:
        item = (len(spec.targets) if options.channels == "joint" else 1, len(spec.levels))
        self._one_query = keras.layers.Reshape((1, -1), name="one_query")
        self._join = keras.layers.Concatenate(name="pooled_and_static")
        self._dropout = keras.layers.Dropout(options.dropout, name="dropout")
        self._head = QuantileHead(spec.horizon * item[0] * item[1], item[1], spec.median, name="head")
        self._steps = HorizonSteps(spec.horizon, item, name="horizon_steps")

    def __call__(self, pooled: Tensor, static: Tensor | None) -> Tensor:
        if static is not None:
            pooled = self._join([pooled, static])
        return self._steps(self._one_query(self._head(self._dropout(pooled))))


class PooledSegments:
    """Attention pooling of encoded patches, with the attention weights.

    Args:
        units: Size of the projection.
        heads: Number of context vectors.
        segments: The patches.
        horizon: Steps to forecast.
    """

    def __init__(self, units: int, heads: int, segments: Segments, horizon: int) -> None:
        self._pooling = AttentionPooling(units, heads, name="pooling")
        self._head_maps = keras.layers.Reshape((heads, 1, segments.count), name="head_maps")
        self._segments = segments
        self._horizon = horizon

    def __call__(self, memory: Tensor, mask: Tensor) -> tuple[Tensor, AttentionWeights]:
        pooled, weights = self._pooling(memory, mask=mask, return_attention_scores=True)
        return pooled, AttentionWeights(self._head_maps(weights), self._segments.steps, self._horizon)


@dataclass(frozen=True)
class CopyOutput:
    """Output of the copy attention.

    Args:
        context: `(rows, queries, size of the memory)`, the attended memory.
        base: `(rows, horizon, width, 1)`, the copied patches.
        weights: Attention weights.
    """

    context: Tensor
    base: Tensor
    weights: AttentionWeights


class CopyBranch:
    """Attention from the patches of the forecast to those of the history, whose values it copies.

    Args:
        options: Options of the network, with at least one copy head.
        spec: The window.
        segments: Patches of the history.
        score: Name of the attention score.
    """

    def __init__(
        self, options: CopyingOptions, spec: WindowSpec, segments: Segments, score: str = "scaled_dot"
    ) -> None:
        self._segments = segments
        self._attention = CopyAttention(
            segments.count,
            options.copy_heads or 0,
            score,
            period=max(round(spec.season / segments.patch), 1),
            dropout=options.copy_dropout or 0.0,
            name="copy_attention",
        )
        width = len(spec.targets) if options.channels == "joint" else 1
        self._steps = HorizonSteps(spec.horizon, (width, 1), name="base_steps")
        rate = options.copy_only_rate or 0.0
        self._copy_only = LevelDropout(spec.median, rate, name="path_dropout") if rate else None

    def __call__(self, query: Tensor, memory: Tensor, window: SegmentedWindow) -> CopyOutput:
        context, copied, weights = self._attention(
            query, memory, window.values, window.observed, memory_mask=window.mask, return_attention_scores=True
        )
        weights = AttentionWeights(weights, self._segments.steps, self._segments.patch)
        return CopyOutput(context, self._steps(copied), weights)

    def combine(self, raw: Tensor, copied: CopyOutput) -> ArchitectureOutputs:
        """Return outputs `raw` `(rows, horizon, width, levels)` on top of the copied patches."""
        raw = raw if self._copy_only is None else self._copy_only(raw)
        return ArchitectureOutputs(raw, copied.weights, copied.base)


def copy_branch(
    options: CopyingOptions, spec: WindowSpec, segments: Segments, score: str = "scaled_dot"
) -> CopyBranch | None:
    """Return the copy attention of a network, or None without copy heads."""
    return CopyBranch(options, spec, segments, score) if options.copy_heads else None

"""Convolutions: dilated causal ones over time, diffusion over a graph, and a learned adjacency matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.graph import check_adjacency
from tsattn.layers.layer_utils import (
    check_positive,
    check_rate,
    check_sequence,
    constructor_config,
    set_weight_options,
    weight_options,
)
from tsattn.layers.ops import Tensor, resolve_mask, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class TemporalConvBlock(keras.layers.Layer):
    """Residual block of two dilated causal convolutions.

    Each convolution is followed by an activation and spatial dropout. The input, projected if its size differs, is
    added to the result, followed by one more activation. The receptive field of stacked blocks with dilation rates
    1, 2, 4, ... doubles with each block, see `receptive_field`.

    Masked steps are read as 0, as are steps before the first, whatever their content, and their outputs are 0: padding
    on either side has no effect. The output carries the mask of the input.

    Args:
        filters: Number of output features.
        kernel_size: Kernel size of each convolution.
        dilation_rate: Dilation rate of each convolution.
        dropout: Dropout rate of the channels after each convolution.
        weight_norm: Whether to parametrize each filter by norm and direction (weight normalization, Salimans and
            Kingma 2016). The norms start as those of the initial filters.
        activation: Activation after each convolution and after the sum.
        kernel_initializer: Initializer of the filters and the projection.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the filters and the projection.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the filters and the projection.
        bias_constraint: Constraint of the biases.
        seed: Seed of the dropout.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: Boolean `(batch, time)`; True means keep.

    Output shape:
        `(batch, time, filters)`.

    Example:
        >>> blocks = [TemporalConvBlock(64, dilation_rate=2**i) for i in range(5)]
        >>> receptive_field(blocks)
        125
        >>> for block in blocks:
        ...     x = block(x, mask=mask)

    Reference:
        Bai et al. 2018, An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        dilation_rate: int = 1,
        dropout: float = 0.0,
        weight_norm: bool = False,
        activation: Any = "relu",
        kernel_initializer: Any = "he_normal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(filters=filters, kernel_size=kernel_size, dilation_rate=dilation_rate)
        check_rate(dropout=dropout)
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        self.dropout = dropout
        self.weight_norm = weight_norm
        self.activation = keras.activations.get(activation)
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.seed = seed
        self.supports_masking = True
        self._dropout = keras.layers.SpatialDropout1D(dropout, seed=seed, dtype=self.dtype_policy, name="dropout")

    @property
    def receptive_field(self) -> int:
        """Number of input steps, up to the current one, that an output depends on."""
        return 1 + 2 * (self.kernel_size - 1) * self.dilation_rate

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a temporal convolution", inputs_shape)
        features = inputs_shape[-1]
        self._convolutions = [self._add_convolution(1, features), self._add_convolution(2, self.filters)]
        self.projection = None
        if features != self.filters:
            self.projection = self.add_weight(
                name="projection",
                shape=(features, self.filters),
                **weight_options(self, "kernel"),
            )

    def _add_convolution(self, number: int, features: int) -> tuple[Any, Any, Any]:
        # Normalized in float32 under every policy: squares of small weights underflow in half precision.
        kernel = self.add_weight(
            name=f"kernel_{number}",
            shape=(self.kernel_size, features, self.filters),
            **weight_options(self, "kernel"),
            autocast=not self.weight_norm,
        )
        gain = None
        if self.weight_norm:
            gain = self.add_weight(
                name=f"gain_{number}",
                shape=(self.filters,),
                initializer=lambda _, dtype=None: ops.cast(_norm(kernel.value), dtype),
                autocast=False,
            )
        bias = self.add_weight(name=f"bias_{number}", shape=(self.filters,), **weight_options(self, "bias"))
        return kernel, gain, bias

    def call(self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None) -> Tensor:
        inputs = hidden = zero_masked(inputs, mask)
        for kernel, gain, bias in self._convolutions:
            convolved = self._convolve(hidden, kernel, gain) + bias
            hidden = zero_masked(self._dropout(self.activation(convolved), training=training), mask)
        residual = inputs if self.projection is None else ops.matmul(inputs, self.projection)
        return zero_masked(self.activation(hidden + residual), mask)

    def _convolve(self, inputs: Tensor, kernel: Any, gain: Any) -> Tensor:
        if gain is not None:
            kernel = ops.cast(kernel * (gain / _norm(kernel)), inputs.dtype)
        before = (self.kernel_size - 1) * self.dilation_rate
        if 0 in inputs.shape[:2]:
            # Keras's convolution refuses an empty output, and that of oneDNN returns an empty batch unchanged.
            return ops.matmul(inputs, kernel[0])
        extra = 1 if inputs.shape[0] is None else 0
        padded = ops.pad(inputs, [[0, extra], [before, 0], [0, 0]])
        convolved = ops.conv(padded, kernel, 1, "valid", "channels_last", self.dilation_rate)
        return convolved[:-1] if extra else convolved

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (*inputs_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), **constructor_config(self, TemporalConvBlock), "activation": activation}


def receptive_field(blocks: Iterable[TemporalConvBlock]) -> int:
    """Return the receptive field of stacked blocks: the number of input steps that an output depends on."""
    return 1 + sum(block.receptive_field - 1 for block in blocks)


def _norm(kernel: Tensor) -> Tensor:
    """Return the norm of each filter of `(steps, features, filters)`; above 0, where it has a gradient."""
    return ops.sqrt(ops.maximum(ops.sum(ops.square(kernel), axis=(0, 1)), 1e-14))


@keras.saving.register_keras_serializable(package="tsattn")
class DiffusionConvolution(keras.layers.Layer):
    """Diffusion convolution: combines the states of the nodes that random walks reach, `sum_k P^k X W_k`.

    `P` is the row-normalized adjacency and, for walks against the edges, its row-normalized transpose; `P^0` is the
    node itself. A learned adjacency adds one more walk. Masked nodes are ignored, whatever their content, and their
    outputs are 0.

    The first walk follows the edges: a node takes the mean of the states of the nodes that its edges lead to. The
    `DConv` of PyTorch Geometric Temporal sends states along the edges instead, `P^T X`, in Chebyshev polynomials; with
    transposed edges it has the neighbors of this layer, but other weights.

    Args:
        units: Size of the output.
        steps: Maximum number of steps of a walk.
        both_ways: Whether to walk against the edges of the adjacency as well.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the kernels.
        bias_constraint: Constraint of the biases.

    Call arguments:
        inputs: `(batch, nodes, features)` or `(batch, time, nodes, features)`.
        adjacency: Edge weights of 0 or more, `(nodes, nodes)`, from the node of the row to the node of the column.
            With the leading axes of the inputs if the graph changes.
        adaptive: A learned adjacency of the same shape, see `AdaptiveAdjacency`, walked along its edges only. At least
            one of the two is required.
        mask: Boolean, the shape of the inputs without features; True means keep.
        inputs_mask: Mask that Keras attaches to the inputs; `mask` takes precedence.

    Output shape:
        `(..., nodes, units)`.

    Example:
        >>> states = keras.Input((12, 207, 16))
        >>> mixed = DiffusionConvolution(32)(states, adaptive=AdaptiveAdjacency()(states))

    References:
        Li et al. 2018, Diffusion Convolutional Recurrent Neural Network; Wu et al. 2019, Graph WaveNet.
    """

    def __init__(
        self,
        units: int,
        steps: int = 2,
        both_ways: bool = True,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        # Edge weights can overflow or underflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        check_positive(units=units, steps=steps)
        self.units = units
        self.steps = steps
        self.both_ways = both_ways
        self.use_bias = use_bias
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.supports_masking = True

    def build(self, inputs_shape: Any, adjacency_shape: Any = None, adaptive_shape: Any = None) -> None:
        if len(inputs_shape) not in (3, 4):
            raise ConfigError(
                "the input of a diffusion convolution must have the shape (batch, nodes, features) or (batch, time, "
                f"nodes, features). Received: shape {tuple(inputs_shape)}"
            )
        check_adjacency("adjacency", adjacency_shape, inputs_shape)
        check_adjacency("adaptive", adaptive_shape, inputs_shape)
        walks = (1 + self.both_ways) * (adjacency_shape is not None) + (adaptive_shape is not None)
        if not walks:
            raise ConfigError("a diffusion convolution requires an adjacency, a learned one or both")
        size = (1 + walks * self.steps) * inputs_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(size, self.units), **weight_options(self, "kernel"))
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), **weight_options(self, "bias"))

    def call(
        self,
        inputs: Tensor,
        adjacency: Tensor | None = None,
        adaptive: Tensor | None = None,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
    ) -> Tensor:
        mask = inputs_mask if mask is None else mask
        inputs = zero_masked(ops.cast(inputs, self.compute_dtype), mask)
        keep = resolve_mask(mask, inputs)
        walks = [] if adjacency is None else [adjacency]
        if adjacency is not None and self.both_ways:
            walks.append(ops.swapaxes(adjacency, -1, -2))
        if adaptive is not None:
            walks.append(adaptive)
        states = [inputs]
        for edges in walks:
            transition, state = self._transition(edges, keep, inputs.dtype), inputs
            for _ in range(self.steps):
                state = ops.matmul(transition, state)
                states.append(state)
        outputs = ops.matmul(ops.concatenate(states, axis=-1), ops.cast(self.kernel, inputs.dtype))
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return ops.where(keep[..., None], outputs, ops.zeros_like(outputs))

    def _transition(self, edges: Tensor, keep: Tensor, dtype: str) -> Tensor:
        """Return the transition probabilities between valid nodes; 0 for a node without edges."""
        edges = ops.cast(edges, "float32") * ops.cast(ops.expand_dims(keep, -2), "float32")
        total = ops.sum(edges, axis=-1, keepdims=True)
        return ops.cast(edges / ops.where(total > 0, total, 1.0), dtype)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_shape(self, inputs_shape: Any, adjacency_shape: Any = None, adaptive_shape: Any = None) -> Any:
        return (*inputs_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, DiffusionConvolution)}


@keras.saving.register_keras_serializable(package="tsattn")
class AdaptiveAdjacency(keras.layers.Layer):
    """Learned adjacency matrix, `softmax(relu(E_1 E_2^T))`, whose rows sum to 1.

    Every node has two learned embeddings, one as source and one as target of edges. The matrix does not depend on the
    content of the input, nor on its mask.

    Args:
        units: Size of the embeddings.
        embeddings_initializer: Initializer of the embeddings.
        embeddings_regularizer: Regularizer of the embeddings.
        embeddings_constraint: Constraint of the embeddings.

    Call arguments:
        inputs: `(..., nodes, features)`. Only the number of nodes is used, which must be static.

    Output shape:
        `(nodes, nodes)`, from the node of the row to the node of the column.

    Example:
        >>> states = keras.Input((12, 207, 16))
        >>> mixed = GraphAttention(8)(states, adjacency=AdaptiveAdjacency()(states))

    Reference:
        Wu et al. 2019, Graph WaveNet for Deep Spatial-Temporal Graph Modeling.
    """

    def __init__(
        self,
        units: int = 10,
        embeddings_initializer: Any = "random_normal",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(units=units)
        self.units = units
        set_weight_options(
            self,
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
        )

    def build(self, inputs_shape: Any) -> None:
        if len(inputs_shape) < 3 or inputs_shape[-2] is None:
            raise ConfigError(
                "the input of an adaptive adjacency must have the shape (..., nodes, features) with a known number of "
                f"nodes. Received: shape {tuple(inputs_shape)}"
            )
        shape = (inputs_shape[-2], self.units)
        self.leaving = self._embeddings("leaving", shape)
        self.reached = self._embeddings("reached", shape)

    def _embeddings(self, name: str, shape: tuple[int, int]) -> Any:
        return self.add_weight(name=name, shape=shape, **weight_options(self, "embeddings"))

    def call(self, inputs: Tensor) -> Tensor:
        # As `masked_softmax`, in float32.
        leaving, reached = (ops.cast(part, "float32") for part in (self.leaving, self.reached))
        scores = ops.relu(ops.matmul(leaving, ops.transpose(reached)))
        return ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[-2], inputs_shape[-2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, AdaptiveAdjacency)}

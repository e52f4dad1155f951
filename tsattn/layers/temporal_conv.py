"""Dilated causal convolutions over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from tsattn.layers.layer_utils import (
    check_positive,
    check_rate,
    check_sequence,
    constructor_config,
    set_weight_options,
    weight_options,
)
from tsattn.layers.ops import Tensor, zero_masked


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

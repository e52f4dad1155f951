"""Dilated causal convolutions over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor, check_sequence, fresh, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class TemporalConvBlock(keras.layers.Layer):
    """A residual block of two dilated causal convolutions: no output sees a later input.

    Each convolution is followed by an activation and by dropout of whole channels; the input, projected where its size
    is another, is added, and what comes out is activated once more. Blocks whose dilation rates are 1, 2, 4, ... see
    twice as far with each; `receptive_field` tells how far.

    Masked steps read as 0 in each convolution, like those before the first step, whatever they hold, and give 0. So
    padding changes nothing on either side, and a gap is a stretch of zeros. The output carries the mask on.

    Args:
        filters: number of features that come out.
        kernel_size: steps that each convolution reads.
        dilation_rate: steps from one of them to the next.
        dropout: share of the channels that each convolution loses in training.
        weight_norm: whether length and direction of each filter are trained apart (Salimans and Kingma 2016). The
            lengths start as those of the initial filters, so that it changes the training and not the start of it.
        activation: what follows each convolution and the sum.
        kernel_initializer: initializer of the filters and the projection.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: boolean `(batch, time)`; True means keep.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("filters", filters), ("kernel_size", kernel_size), ("dilation_rate", dilation_rate)):
            if value < 1:
                raise ConfigError(f"{name} must be 1 or more. Received: {name}={value}")
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        self.dropout = dropout
        self.weight_norm = weight_norm
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True
        self._dropouts = [keras.layers.SpatialDropout1D(dropout, dtype=self.dtype_policy) for _ in range(2)]

    @property
    def receptive_field(self) -> int:
        """Number of steps, its own the last of them, that an output depends on."""
        return 1 + 2 * (self.kernel_size - 1) * self.dilation_rate

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a temporal convolution", inputs_shape)
        features = inputs_shape[-1]
        self._convolutions = [self._add_convolution(1, features), self._add_convolution(2, self.filters)]
        self.projection = None
        if features != self.filters:
            self.projection = self.add_weight(
                name="projection", shape=(features, self.filters), initializer=fresh(self.kernel_initializer)
            )

    def _add_convolution(self, number: int, features: int) -> tuple[Any, Any, Any]:
        # Normalised in float32 under every policy: squares of small weights vanish in half precision.
        kernel = self.add_weight(
            name=f"kernel_{number}",
            shape=(self.kernel_size, features, self.filters),
            initializer=fresh(self.kernel_initializer),
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
        bias = self.add_weight(name=f"bias_{number}", shape=(self.filters,), initializer="zeros")
        return kernel, gain, bias

    def call(self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None) -> Tensor:
        inputs = hidden = zero_masked(inputs, mask)
        for (kernel, gain, bias), dropout in zip(self._convolutions, self._dropouts, strict=True):
            convolved = self._convolve(hidden, kernel, gain) + bias
            hidden = zero_masked(dropout(self.activation(convolved), training=training), mask)
        residual = inputs if self.projection is None else ops.matmul(inputs, self.projection)
        return zero_masked(self.activation(hidden + residual), mask)

    def _convolve(self, inputs: Tensor, kernel: Any, gain: Any) -> Tensor:
        if gain is not None:
            kernel = ops.cast(kernel * (gain / _norm(kernel)), inputs.dtype)
        before = (self.kernel_size - 1) * self.dilation_rate
        padded = ops.pad(inputs, [[0, 0], [before, 0], [0, 0]])
        return ops.conv(padded, kernel, 1, "valid", "channels_last", self.dilation_rate)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (*inputs_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "dropout": self.dropout,
            "weight_norm": self.weight_norm,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def receptive_field(blocks: Iterable[TemporalConvBlock]) -> int:
    """Return the number of steps that an output of blocks upon each other depends on."""
    return 1 + sum(block.receptive_field - 1 for block in blocks)


def _norm(kernel: Tensor) -> Tensor:
    """Length of each filter of `(steps, features, filters)`, never quite 0, where it has no gradient."""
    return ops.sqrt(ops.maximum(ops.sum(ops.square(kernel), axis=(0, 1)), 1e-14))

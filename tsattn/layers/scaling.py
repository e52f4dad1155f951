"""Reversible scaling of each window by what was observed in it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor
from tsattn.layers.windowing import last_observed

METHODS = ("last", "standard", "mean_abs", "training")


@keras.saving.register_keras_serializable(package="tsattn")
class InstanceScaling(keras.layers.Layer):
    """Scales each window and channel by its own observed values, and back.

    Forward it gives `(x - center) / scale`, 0 where nothing was observed; with `inverse=True` it gives
    `x * scale + center`. Only observed steps count, so padding and gaps never change the figures.

    The scale of a window is shrunk towards a prior by the weight of one observation:
    `scale^2 = (n * spread^2 + prior^2) / (n + 1)` with `prior = ratio * mean(|x|)`, so that a constant or very short
    history still has a scale; it follows the data when they are multiplied by a constant. A history of nothing but
    zeros takes the training spread; a channel with no observation the training median and the training spread. `fit`
    learns ratio, median and spread from the training windows; they are saved with the layer.

    Args:
        method: `"last"` centers on the last observed value and divides by the standard deviation; `"standard"`
            centers on the mean and divides by the standard deviation (RevIN, Kim et al. 2022); `"mean_abs"` centers
            on nothing and divides by the mean absolute value (DeepAR, Salinas et al. 2020). `"training"` takes the
            training median and the training spread for every window, so that the level of a history still tells
            something: what channels are used to, they return to.

    Call arguments:
        inputs: `(batch, time, channels)`; with `inverse`, or with given `center` and `scale`, any
            `(batch, steps, channels, ...)`.
        observed: `(batch, time, channels)`, 0 where the input is missing or padded. None: all is observed.
        center: `(batch, 1, channels)`, as an earlier call returned it.
        scale: `(batch, 1, channels)`, as an earlier call returned it.
        inverse: whether to go back to the original units; needs `center` and `scale`.

    Raises:
        ConfigError: one of `center` and `scale` is given without the other, or `inverse` without them.

    Output shape:
        Without `center` and `scale` a tuple: the scaled input, its center and its scale, both
        `(batch, 1, channels)`. With them only the (un)scaled input.

    Example:
        >>> scaling = InstanceScaling("last")
        >>> scaled, center, scale = scaling(past, observed)
        >>> forecast = scaling(model(scaled), center=center, scale=scale, inverse=True)
    """

    def __init__(self, method: str = "last", **kwargs: Any) -> None:
        # Raw values may overflow a half-precision compute dtype, so Keras must not cast them on the way in.
        super().__init__(**{"autocast": False, **kwargs})
        if method not in METHODS:
            raise ConfigError(f"method must be one of {', '.join(METHODS)}. Received: method={method!r}")
        self.method = method

    def build(self, inputs_shape: Any, *other_shapes: Any) -> None:
        channels = (inputs_shape[2],)
        self.median = self._statistic("median", channels, "zeros")
        self.spread = self._statistic("spread", channels, "ones")
        self.ratio = self._statistic("ratio", channels, keras.initializers.Constant(0.1))

    def _statistic(self, name: str, shape: tuple[int, ...], initializer: Any) -> Any:
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=False, dtype="float32", autocast=False
        )

    def fit(self, median: Any, spread: Any, ratio: Any) -> None:
        """Set the training statistics, each `(channels,)`.

        Args:
            median: stands for the center of a channel with no observation.
            spread: stands for its scale; above 0.
            ratio: typical spread of a window over its mean absolute value; above 0.
        """
        self.median.assign(median)
        self.spread.assign(spread)
        self.ratio.assign(ratio)

    def call(
        self,
        inputs: Tensor,
        observed: Tensor | None = None,
        center: Tensor | None = None,
        scale: Tensor | None = None,
        inverse: bool = False,
    ) -> Any:
        values = ops.cast(inputs, "float32")
        self._check(center, scale, inverse)
        if center is not None and scale is not None:
            extra = len(values.shape) - 3
            center, scale = (ops.reshape(s, (-1, 1, s.shape[-1], *[1] * extra)) for s in (center, scale))
            if inverse:
                return values * scale + center
            return self._masked(ops.cast((values - center) / scale, self.compute_dtype), observed)
        seen = ops.ones_like(values) if observed is None else ops.cast(observed, "float32")
        values = ops.where(seen > 0, values, 0.0)
        center, scale = self._statistics(values, seen)
        scaled = ops.cast((values - center) / scale * seen, self.compute_dtype)
        return scaled, center, scale

    def _check(self, center: Tensor | None, scale: Tensor | None, inverse: bool) -> None:
        given = [name for name, x in (("center", center), ("scale", scale)) if x is not None]
        if len(given) == 1 or (inverse and not given):
            raise ConfigError(
                "center and scale, as an earlier call returned them, are given together, and the way back needs both. "
                f"Received: {given[0] if given else 'neither'}, inverse={inverse}"
            )

    def _masked(self, values: Tensor, observed: Tensor | None) -> Tensor:
        return values if observed is None else ops.where(observed > 0, values, ops.zeros_like(values))

    def _statistics(self, values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        # The JAX backend does not take a variable inside `where`.
        median, spread = (ops.convert_to_tensor(statistic) for statistic in (self.median, self.spread))
        if self.method == "training":
            every = ops.zeros_like(values[:, :1])
            return every + median, every + spread
        count = ops.sum(seen, axis=1, keepdims=True)
        safe = ops.maximum(count, 1.0)
        last = last_observed(values, seen)
        # Differences from the last value are exact in float32 where sums of a large level are not.
        shifted = seen * (values - last)
        mean_shift = ops.sum(shifted, axis=1, keepdims=True) / safe
        mean_abs = ops.sum(ops.abs(values), axis=1, keepdims=True) / safe
        if self.method == "mean_abs":
            center, variance = ops.zeros_like(last), mean_abs**2
        else:
            center = last + mean_shift if self.method == "standard" else last
            variance = ops.sum(seen * (shifted - mean_shift) ** 2, axis=1, keepdims=True) / safe
        squared = (count * variance + (self.ratio * mean_abs) ** 2) / (count + 1.0)
        # A history of nothing but zeros has no scale of its own; a tiny one would let its window swamp the loss. Chosen
        # before the root as well, whose gradient at 0 is infinite.
        some = mean_abs > 0
        scale = ops.where(some, ops.sqrt(ops.where(some, squared, 1.0)), spread)
        empty = count == 0
        return ops.where(empty, median, center), ops.where(empty, spread, scale)

    def compute_output_spec(
        self,
        inputs: Any,
        observed: Any = None,
        center: Any = None,
        scale: Any = None,
        inverse: bool = False,
    ) -> Any:
        scaled = keras.KerasTensor(inputs.shape, dtype="float32" if inverse else self.compute_dtype)
        self._check(center, scale, inverse)
        if center is not None:
            return scaled
        statistic = keras.KerasTensor((inputs.shape[0], 1, inputs.shape[2]), dtype="float32")
        return scaled, statistic, keras.KerasTensor(statistic.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "method": self.method}

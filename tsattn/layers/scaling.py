"""Reversible scaling of windows by their own statistics."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import check_same, check_sequence, constructor_config
from tsattn.layers.ops import Tensor, last_observed

METHODS = ("last", "standard", "mean_abs", "training")


@keras.saving.register_keras_serializable(package="tsattn")
class InstanceScaling(keras.layers.Layer):
    """Reversible instance normalization: scales each window and channel by its own observed values.

    Forward it computes `(x - center) / scale`, 0 where nothing was observed; with `inverse=True`,
    `x * scale + center`. Only observed steps are used, so padding and gaps have no effect. Masked steps count as not
    observed, whatever their content; the scaled output carries the Keras mask of the input.

    The scale is shrunk towards a prior with the weight of one observation:
    `scale^2 = (n * spread^2 + prior^2) / (n + 1)` with `prior = ratio * mean(|x|)`. Constant and very short histories
    thus have a scale, which is equivariant to the unit of the data. A history of zeros takes the training spread; a
    channel without observations the training median and spread. `fit` sets ratio, median and spread to statistics of
    the training windows; they are weights of the layer.

    The prior depends on the level of a history, which says nothing about the spread of a series that is unlike the
    training data. Where `use_prior` is 0, the scale is the spread of the window alone. Scaling then commutes with any
    shift (except for `"mean_abs"` and `"training"`) and positive factor, and a constant history has the scale 0, so
    that the inverse restores a constant.

    Args:
        method: `"last"` subtracts the last observed value and divides by the standard deviation. `"standard"`
            subtracts the mean and divides by the standard deviation (RevIN, Kim et al. 2022). `"mean_abs"` divides by
            the mean absolute value (DeepAR, Salinas et al. 2020). `"training"` uses the training median and spread for
            every window, so that a network sees the level of a history: for channels that revert to a usual level.

    Call arguments:
        inputs: `(batch, time, channels)`. With `center` and `scale`, any `(batch, steps, channels, ...)`.
        observed: `(batch, time, channels)`, 0 where the input is missing or padded. Defaults to all observed.
        center: `(batch, 1, channels)`, as returned by an earlier call.
        scale: `(batch, 1, channels)`, as returned by an earlier call.
        inverse: Whether to return to the original units; requires `center` and `scale`.
        mask: Boolean `(batch, time)`; True means keep.
        inputs_mask: Mask that Keras attaches to the inputs; `mask` takes precedence.
        use_prior: `(batch, 1, channels)`, 0 where the scale is that of the window alone; None is 1 everywhere.

    Raises:
        ConfigError: Only one of `center` and `scale` is passed, or `inverse` without them.

    Output shape:
        Without `center` and `scale` a tuple: the scaled input, its center and its scale, both
        `(batch, 1, channels)`. With them, the scaled or unscaled input only.

    Example:
        >>> scaling = InstanceScaling("last")
        >>> scaled, center, scale = scaling(past, observed)
        >>> forecast = scaling(model(scaled), center=center, scale=scale, inverse=True)
    """

    def __init__(self, method: str = "last", **kwargs: Any) -> None:
        # Values in original units can overflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        if method not in METHODS:
            raise ConfigError(f"method must be one of {', '.join(METHODS)}. Received: method={method!r}")
        self.method = method
        self.supports_masking = True

    def build(
        self,
        inputs_shape: Any,
        observed_shape: Any = None,
        center_shape: Any = None,
        scale_shape: Any = None,
        use_prior_shape: Any = None,
    ) -> None:
        if len(inputs_shape) < 3:
            check_sequence("the input of an instance scaling", inputs_shape)
        if observed_shape is not None and len(observed_shape) != len(inputs_shape):
            raise ConfigError(
                f"observed must have the shape of the input, {tuple(inputs_shape)}. Received: {tuple(observed_shape)}"
            )
        for name, shape in (("observed", observed_shape), ("center", center_shape), ("scale", scale_shape)):
            if shape is not None:
                check_same("channels", inputs=inputs_shape[2], **{name: shape[-1 if name != "observed" else 2]})
        channels = (inputs_shape[2],)
        self.median = self._add_statistic("median", channels, "zeros")
        self.spread = self._add_statistic("spread", channels, "ones")
        self.ratio = self._add_statistic("ratio", channels, keras.initializers.Constant(0.1))

    def _add_statistic(self, name: str, shape: tuple[int, ...], initializer: Any) -> Any:
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=False, dtype="float32", autocast=False
        )

    def fit(self, median: Any, spread: Any, ratio: Any) -> None:
        """Set the training statistics, each `(channels,)`.

        Args:
            median: Center of a channel without observations.
            spread: Scale of a channel without observations; above 0.
            ratio: Typical ratio of the spread of a window to its mean absolute value; above 0.
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
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        use_prior: Tensor | None = None,
    ) -> Any:
        values = ops.cast(inputs, "float32")
        mask = inputs_mask if mask is None else mask
        if mask is not None:
            observed = _observed_and_valid(values, observed, mask)
        self._check_statistics(center, scale, inverse)
        if center is not None and scale is not None:
            extra = len(values.shape) - 3
            center, scale = (ops.reshape(s, (-1, 1, s.shape[-1], *[1] * extra)) for s in (center, scale))
            if inverse:
                return values * scale + center
            return self._masked(ops.cast((values - center) / scale, self.compute_dtype), observed)
        observed = ops.ones_like(values) if observed is None else ops.cast(observed, "float32")
        values = ops.where(observed > 0, values, 0.0)
        center, scale = self._statistics(values, observed, use_prior)
        divisor = scale if use_prior is None else ops.where(scale > 0, scale, 1.0)
        scaled = ops.cast((values - center) / divisor * observed, self.compute_dtype)
        return scaled, center, scale

    def _check_statistics(self, center: Tensor | None, scale: Tensor | None, inverse: bool) -> None:
        given = [name for name, x in (("center", center), ("scale", scale)) if x is not None]
        if len(given) == 1 or (inverse and not given):
            raise ConfigError(
                "center and scale of an earlier call must be passed together, and inverse=True requires both. "
                f"Received: {given[0] if given else 'neither'}, inverse={inverse}"
            )

    def _masked(self, values: Tensor, observed: Tensor | None) -> Tensor:
        return values if observed is None else ops.where(observed > 0, values, ops.zeros_like(values))

    def _statistics(self, values: Tensor, observed: Tensor, use_prior: Tensor | None) -> tuple[Tensor, Tensor]:
        # The JAX backend does not accept a variable inside `where`.
        median, spread = (ops.convert_to_tensor(statistic) for statistic in (self.median, self.spread))
        if self.method == "training":
            zeros = ops.zeros_like(values[:, :1])
            return zeros + median, zeros + spread
        count = ops.sum(observed, axis=1, keepdims=True)
        safe_count = ops.maximum(count, 1.0)
        last = last_observed(values, observed)
        # Differences from the last value are exact in float32 where sums of values at a high level are not.
        shifted = observed * (values - last)
        mean_shift = ops.sum(shifted, axis=1, keepdims=True) / safe_count
        mean_abs = ops.sum(ops.abs(values), axis=1, keepdims=True) / safe_count
        if self.method == "mean_abs":
            center, variance = ops.zeros_like(last), mean_abs**2
        else:
            center = last + mean_shift if self.method == "standard" else last
            variance = ops.sum(observed * (shifted - mean_shift) ** 2, axis=1, keepdims=True) / safe_count
        squared = (count * variance + (self.ratio * mean_abs) ** 2) / (count + 1.0)
        # A history of zeros has no scale; a tiny one would let its window dominate the loss. The inner `where` avoids
        # the infinite gradient of the square root at 0.
        is_nonzero = mean_abs > 0
        scale = ops.where(is_nonzero, ops.sqrt(ops.where(is_nonzero, squared, 1.0)), spread)
        if use_prior is not None:
            own = (
                mean_abs
                if self.method == "mean_abs"
                else _standard_deviation(shifted, mean_shift, observed, safe_count)
            )
            scale = ops.where(use_prior > 0, scale, own)
        is_empty = count == 0
        return ops.where(is_empty, median, center), ops.where(is_empty, spread, scale)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> tuple[Tensor | None, None, None]:
        return previous_mask, None, None

    def compute_output_shape(
        self,
        inputs_shape: Any,
        observed_shape: Any = None,
        center_shape: Any = None,
        scale_shape: Any = None,
        use_prior_shape: Any = None,
    ) -> Any:
        statistic = (inputs_shape[0], 1, inputs_shape[2])
        return inputs_shape if center_shape is not None else (inputs_shape, statistic, statistic)

    def compute_output_spec(
        self,
        inputs: Any,
        observed: Any = None,
        center: Any = None,
        scale: Any = None,
        inverse: bool = False,
        mask: Any = None,
        inputs_mask: Any = None,
        use_prior: Any = None,
    ) -> Any:
        scaled = keras.KerasTensor(inputs.shape, dtype="float32" if inverse else self.compute_dtype)
        self._check_statistics(center, scale, inverse)
        if center is not None:
            return scaled
        statistic = keras.KerasTensor((inputs.shape[0], 1, inputs.shape[2]), dtype="float32")
        return scaled, statistic, keras.KerasTensor(statistic.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, InstanceScaling)}


def _observed_and_valid(values: Tensor, observed: Tensor | None, mask: Tensor) -> Tensor:
    """Return an indicator of observed values at valid steps, in float32, shaped as the values."""
    keep = ops.reshape(ops.cast(mask, "bool"), (*ops.shape(mask), *[1] * (len(values.shape) - 2)))
    observed = ops.ones_like(values) if observed is None else ops.cast(observed, "float32")
    return ops.where(keep, observed, 0.0)


def _standard_deviation(shifted: Tensor, mean_shift: Tensor, observed: Tensor, count: Tensor) -> Tensor:
    """Return the standard deviation of values of any magnitude, whose squares may exceed float32."""
    deviation = ops.abs(observed * (shifted - mean_shift))
    largest = ops.max(deviation, axis=1, keepdims=True)
    relative = deviation / ops.where(largest > 0, largest, 1.0)
    return largest * ops.sqrt(ops.sum(relative * relative, axis=1, keepdims=True) / count)

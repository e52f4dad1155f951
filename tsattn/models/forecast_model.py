"""Functional Keras model around an architecture, from the window of a series to quantiles and sample paths.

The model scales the window, folds its channels into the batch, calls the architecture and turns its outputs into sorted
quantiles in original units. Covariates, residual branches, ensembles and context scales are the same for every
architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy.typing as npt
from keras import ops

from tsattn.config import BaseConfig
from tsattn.layers import CalibratedQuantiles, DistributionHead, ForecastDistribution, InstanceScaling, SortedQuantiles
from tsattn.layers.distributions import get_distribution
from tsattn.layers.ops import Tensor
from tsattn.models.architecture import (
    Architecture,
    ArchitectureInputs,
    AttentionWeights,
    EnsembleMember,
    GraphArchitecture,
)
from tsattn.models.branches import CovariateEffect, CovariateScaling, ResidualBranches, StaticEmbedding
from tsattn.models.components import AddToLevel, QuerySteps
from tsattn.models.folding import (
    AlignKeys,
    AverageContextScales,
    ChannelEmbedding,
    FoldChannels,
    FoldContextScales,
    UnfoldAttention,
    UnfoldQuantiles,
    context_lengths,
)
from tsattn.models.options import NetworkOptions
from tsattn.models.registry import ModelEntry
from tsattn.models.training_range import InTrainingRange, TrainingRange
from tsattn.timeseries.windows import (
    ATTENTION,
    FUTURE_COVARIATES,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PARAMETERS,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    QUERY_STEPS,
    WindowSpec,
)

CALIBRATION_LAYER = "calibrated_quantiles"
"""Name of the calibration layer of every model."""

MIN_COUNT_SCALE = 1e-6
"""Least scale of the distribution of counts, in units of the level plus 1."""

DISTRIBUTION_LAYER = "distribution"
"""Name of the distribution layer of the models that have one."""


@dataclass(frozen=True)
class ScaledWindow:
    """A window in scaled space with the statistics that invert the scaling.

    Args:
        inputs: Inputs of the architecture.
        length: `(batch,)`.
        center: `(batch, 1, channels)`.
        scale: `(batch, 1, channels)`.
        effect: `(batch, horizon, channels)`, added to the forecast of the architecture: the effect of the future
            covariates and the residual branches, or None.
    """

    inputs: ArchitectureInputs
    length: Tensor
    center: Tensor
    scale: Tensor
    effect: Tensor | None = None


class ForecastGraph:
    """Layers of a forecaster, connected for inference or for training.

    Args:
        inputs: Symbolic window tensors by name.
        spec: The window.
        options: Options of the architecture.
        architectures: One architecture per ensemble member.
    """

    def __init__(
        self, inputs: dict[str, Any], spec: WindowSpec, options: NetworkOptions, architectures: list[Architecture]
    ) -> None:
        self.inputs = inputs
        self.spec = spec
        self.channels = len(spec.targets)
        self.joint = options.channels == "joint"
        self.scaling = InstanceScaling(options.scaling, name="scaling")
        self.context_lengths = context_lengths(spec.context, options.context_scales or 1)
        self._graph_architectures = [part for part in architectures if isinstance(part, GraphArchitecture)]
        self._members = architectures
        if len(architectures) > 1:
            self._members = [EnsembleMember(part, f"member_{i}") for i, part in enumerate(architectures)]
        self._calibrated = CalibratedQuantiles(spec.median, spec.support, name=CALIBRATION_LAYER)
        self.distribution = None if options.head == "quantiles" else get_distribution(options.head)
        median = architecture_window(spec, options).median
        if self.distribution is None:
            self._sorted = SortedQuantiles(median, detach_median=True, name="sorted_quantiles")
        else:
            self._head = DistributionHead(options.head, name="distribution_head")
            self._distribution = ForecastDistribution(options.head, spec.levels, name=DISTRIBUTION_LAYER)
            self._add_effect = AddToLevel(median, name="add_effect")
        self._add_base = AddToLevel(median, name="add_base")
        self._fold = FoldChannels(self.channels)
        self._unfold = UnfoldQuantiles(self.channels)
        self._embed = ChannelEmbedding(max(options.width // 4, 1), name="channel_embedding")
        self.covariate_scaling = CovariateScaling(name="covariate_scaling") if spec.past_covariates else None
        self._effect = CovariateEffect(self.channels, name="covariate_effect") if spec.future_covariates else None
        self.residual = ResidualBranches(options, spec)
        self.training_range: TrainingRange | None = None
        """Windows outside of it are forecast without the levels and spreads of the training data."""
        self.static_numbers = tuple(static.name for static in spec.static if static.categories is None)
        self.static_scaling = CovariateScaling(name="static_scaling") if self.static_numbers else None
        self._static = _static_embedding(spec, options)
        self.window = self._scale(inputs[PAST], inputs[OBSERVED], inputs[LENGTH], inputs.get(PAST_COVARIATES))

    @property
    def _folds(self) -> bool:
        return not self.joint and self.channels > 1

    def _scale(
        self,
        past: Tensor,
        observed: Tensor,
        length: Tensor,
        covariates: Tensor | None = None,
        repeats: int = 1,
        check_range: InTrainingRange | None = None,
    ) -> ScaledWindow:
        """Return a window in scaled space, without the effect of the future covariates on the history.

        Args:
            past: `(rows, context, channels)`.
            observed: `(rows, context, channels)`, 0 or 1.
            length: `(rows,)`.
            covariates: `(rows, context, features)`.
            repeats: Number of rows per window of the inputs, one per context scale.
            check_range: Finds the windows outside the range of the training data; in training there are none.
        """
        in_range = None if check_range is None else check_range(past, observed)
        scaled, center, scale = self.scaling(past, observed, use_prior=in_range)
        width = self.channels if self._folds else 1
        effect = future = None
        if covariates is not None and self.covariate_scaling is not None:
            covariates = self.covariate_scaling(covariates)
            if self._effect is not None:
                future = _repeat(self._scale_future(), repeats)
                count = len(self.spec.future_covariates)
                scaled = (scaled - self._effect(covariates[:, :, :count])) * observed
                effect, future = self._effect(future), _repeat(future, width)
            covariates = _repeat(covariates, width)
        for term in self.residual(scaled, observed, length, center, scale, in_range):
            effect = term if effect is None else effect + term
        static = None
        if self._static is not None:
            static = _repeat(self._static(self._static_inputs()), repeats * width)
        inputs = ArchitectureInputs(scaled, observed, length, static, covariates, future)
        if self._folds:
            values, seen, steps = (self._fold(x) for x in (scaled, observed, length))
            channel = self._embed(scaled)
            static = channel if static is None else keras.ops.concatenate([channel, static], axis=-1)
            inputs = ArchitectureInputs(values, seen, steps, static, covariates, future)
        return ScaledWindow(inputs, length, center, scale, effect)

    def _static_inputs(self) -> list[Tensor]:
        """Return the static covariates: the scaled numbers in one tensor, then each category."""
        numbers = [self.inputs[static.input] for static in self.spec.static if static.categories is None]
        categories = [self.inputs[static.input] for static in self.spec.static if static.categories is not None]
        if self.static_scaling is None:
            return categories
        return [self.static_scaling(keras.ops.stack(numbers, axis=-1)), *categories]

    def _scale_future(self) -> Tensor:
        """Return the future covariates, scaled by the statistics of the same features in the past."""
        future, names = self.inputs[FUTURE_COVARIATES], self.spec.past_covariates
        missing = len(names) - len(self.spec.future_covariates)
        padded = keras.ops.pad(future, [[0, 0], [0, 0], [0, missing]]) if missing else future
        assert self.covariate_scaling is not None
        scaled = self.covariate_scaling(padded)
        return scaled[:, :, : len(self.spec.future_covariates)]

    def set_adjacency(self, adjacency: npt.ArrayLike) -> None:
        """Pass the graph between the targets, `(targets, targets)`, to the architectures that take one."""
        for architecture in self._graph_architectures:
            architecture.set_adjacency(adjacency)

    def scale_target(self, target: Tensor, observed: Tensor) -> Tensor:
        """Scale the target `(batch, horizon, channels)` by the statistics of its window; 0 where missing."""
        return self.scaling(target, observed, center=self.window.center, scale=self.window.scale)

    def _call_members(
        self, target: Tensor | None = None, window: ScaledWindow | None = None
    ) -> tuple[list[Tensor], list[AttentionWeights]]:
        """Return the outputs `(rows, horizon, width, levels)`, base included, and the attention of each member."""
        window = window or self.window
        inputs, effect = window.inputs, window.effect
        if target is not None:
            target = target if effect is None else target - effect
            target = self._fold(target) if self._folds else target
        outputs, weights = [], []
        for member in self._members:
            output = member(inputs, target)
            outputs.append(output.raw if output.base is None else self._add_base([output.raw, output.base]))
            weights += [] if output.weights is None else [output.weights]
        return outputs, weights

    def scaled_quantiles(
        self, target: Tensor | None = None, window: ScaledWindow | None = None
    ) -> tuple[list[Tensor], list[AttentionWeights]]:
        """Return the quantiles `(batch, horizon, channels, levels)` in scaled space and the attention of each member.

        Args:
            target: The target in scaled space, in training.
            window: The window; that of the inputs if left out.
        """
        effect = (window or self.window).effect
        outputs, weights = self._call_members(target, window)
        quantiles = []
        for raw in outputs:
            member = self._unfold(self._sorted(raw)) if self._folds else self._sorted(raw)
            quantiles.append(member if effect is None else _add_to_levels(member, effect))
        return quantiles, weights

    def parameters(
        self, target: Tensor | None = None, window: ScaledWindow | None = None, *, scaled: bool = False
    ) -> tuple[list[Tensor], list[AttentionWeights]]:
        """Return the distribution parameters `(batch, horizon, channels, parameters)` and attention of each member.

        Args:
            target: The target in scaled space, in training.
            window: The window; that of the inputs if left out.
            scaled: Whether the parameters are those in scaled space, or in original units.
        """
        window = window or self.window
        outputs, weights = self._call_members(target, window)
        parameters = []
        for raw in outputs:
            member = self._unfold(raw) if self._folds else raw
            if window.effect is not None:
                member = self._add_effect([member, keras.ops.expand_dims(window.effect, -1)])
            units = {} if scaled else {"center": window.center, "scale": self._positive_scale(window)}
            parameters.append(self._head(member, **units))
        return parameters, weights

    def _positive_scale(self, window: ScaledWindow) -> Tensor:
        """Return the scale of a window; for counts, whose mean is a function of `center / scale`, above 0."""
        if self.distribution is None or not self.distribution.is_discrete:
            return window.scale
        return keras.ops.maximum(window.scale, MIN_COUNT_SCALE * (1.0 + keras.ops.abs(window.center)))

    def inference(self) -> keras.Model:
        """Return the model from a window to quantiles in original units, and to the attention if there is any.

        Quantiles and attention are averaged over ensemble members and context scales (Vincent 1912). With a
        distribution its parameters are averaged, so that the forecast is one distribution of the same family; for
        normal distributions this equals the average of the quantiles.
        """
        scales = len(self.context_lengths)
        window = self._inference_window(scales)
        members, weights = (self.parameters if self.distribution else self.scaled_quantiles)(window=window)
        result = _average(members, "mean_of_members")
        if self.distribution is None:
            result = self.scaling(result, center=window.center, scale=window.scale, inverse=True)
        result = AverageContextScales(scales, name="mean_of_lookbacks")(result) if scales > 1 else result
        if self.distribution is None:
            outputs = {QUANTILES: self._calibrated(result)}
        else:
            outputs = {QUANTILES: self._calibrated(self._distribution(result)), PARAMETERS: result}
        if weights:
            outputs.update(self._attention_outputs(weights, window, scales))
        return keras.Model(self.inputs, outputs, name="forecaster")

    def _inference_window(self, scales: int) -> ScaledWindow:
        """Return the window of the inputs, repeated for each context scale."""
        past, observed, length = self.inputs[PAST], self.inputs[OBSERVED], self.inputs[LENGTH]
        covariates, check_range = self.inputs.get(PAST_COVARIATES), None
        if self.training_range is not None:
            check_range = InTrainingRange(asdict(self.training_range), name="in_training_range")
        if scales > 1:
            fold = FoldContextScales(self.context_lengths, name="context_scales")
            covariates = None if covariates is None else fold(covariates, covariates, length)[0]
            past, observed, length = fold(past, observed, length)
        elif check_range is None:
            return self.window
        return self._scale(past, observed, length, covariates, scales, check_range)

    def _attention_outputs(
        self, weights: list[AttentionWeights], window: ScaledWindow, scales: int
    ) -> dict[str, Tensor]:
        length, key_steps = self.inputs[LENGTH], weights[0].key_steps
        attention = _average([member.values for member in weights], "mean_attention")
        attention = UnfoldAttention(1 if self.joint else self.channels)(attention)
        if scales > 1:
            aligned = AlignKeys(scales, name="align_keys")(attention, key_steps(window.length))
            attention = AverageContextScales(scales, name="mean_attention_of_lookbacks")(aligned)
        return {
            ATTENTION: attention,
            KEY_STEPS: key_steps(length),
            QUERY_STEPS: QuerySteps(self.spec.horizon, weights[0].query_length)(length),
        }


def architecture_window(spec: WindowSpec, options: NetworkOptions) -> WindowSpec:
    """Return the window that an architecture is created for.

    With a distribution it has one level per parameter instead of the quantile levels. The location comes first and
    counts as the median.
    """
    if options.head == "quantiles":
        return spec
    size = get_distribution(options.head).size
    return replace(spec, levels=tuple(1 - 0.5 ** (number + 1) for number in range(size)))


def _static_embedding(spec: WindowSpec, options: NetworkOptions) -> StaticEmbedding | None:
    if not spec.static:
        return None
    sizes = [len(static.categories) for static in spec.static if static.categories is not None]
    return StaticEmbedding(sizes, max(options.width // 4, 1), name="static_embedding")


def _add_to_levels(quantiles: Tensor, effect: Tensor) -> Tensor:
    """Add `(batch, horizon, channels)` to each level of `(batch, horizon, channels, levels)`.

    By a difference: `keras.ops.add` on TensorFlow takes a term with a single axis above 1 for a bias of the last axis
    of that size, such as the effect on one window of one channel with as many steps as there are levels.
    """
    return quantiles - keras.ops.expand_dims(-effect, -1)


def _repeat(values: Tensor, times: int) -> Tensor:
    """Repeat each row of the batch, with the repetitions adjacent."""
    return values if times == 1 else keras.ops.repeat(values, times, axis=0)


def _average(members: list[Tensor], name: str) -> Tensor:
    return members[0] if len(members) == 1 else keras.layers.Average(name=name)(members)


def window_inputs(spec: WindowSpec, *, training: bool = False) -> dict[str, Any]:
    """Return the symbolic inputs of a window by name."""
    return {
        name: keras.Input(shape, name=name, dtype=spec.dtype(name))
        for name, shape in spec.shapes(training=training).items()
    }


def build_graph(
    entry: ModelEntry, options: NetworkOptions, spec: WindowSpec, *, portable: bool = False
) -> ForecastGraph:
    """Build a trainable forecaster.

    Args:
        entry: The model.
        options: Options of the model.
        spec: The window.
        portable: Whether to avoid cuDNN, so that a graph traced on a GPU runs on any device.
    """
    window = architecture_window(spec, options)
    architectures = [entry.load_builder()(options, window, portable) for _ in range(options.ensemble_size)]
    return ForecastGraph(window_inputs(spec), spec, options, architectures)


def build_untrained(entry: ModelEntry, spec: WindowSpec, options: BaseConfig | None = None) -> keras.Model:
    """Build a model without training, with the same inputs and outputs."""
    inputs = window_inputs(spec)
    layer = entry.load_builder()(options or entry.options(), spec)
    outputs = layer(inputs[PAST], inputs[OBSERVED], inputs[LENGTH])
    outputs = dict(outputs) if isinstance(outputs, dict) else {QUANTILES: outputs}
    calibrated = CalibratedQuantiles(spec.median, spec.support, name=CALIBRATION_LAYER)
    return keras.Model(inputs, {**outputs, QUANTILES: calibrated(outputs[QUANTILES])}, name=entry.name)


def can_sample(model: keras.Model) -> bool:
    """Return whether an inference model can draw sample paths."""
    return PARAMETERS in model.output


def sample_paths(model: keras.Model, window: Mapping[str, Any], noise: Tensor) -> Tensor:
    """Return sample paths `(batch, samples, horizon, targets)` in original units.

    At each step the paths follow the distribution of the calibrated quantiles of the model, restricted to the support.
    `tsattn.layers.ForecastDistribution` describes the dependence between steps. Targets of one series are drawn
    independently.

    Args:
        model: An inference model with a distribution.
        window: Inputs of the model.
        noise: Standard normal noise of the shape of the paths.
    """
    distribution, calibrated = model.get_layer(DISTRIBUTION_LAYER), model.get_layer(CALIBRATION_LAYER)
    parameters = model(window, training=False)[PARAMETERS]
    scores = distribution.correlate(noise)
    drawn = distribution.quantiles_at(parameters, scores)
    middle = distribution.quantiles_at(parameters, ops.zeros_like(scores[:, :1]))
    return calibrated.calibrate(drawn, middle, scores, distribution.levels)

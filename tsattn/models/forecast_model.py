"""From the window contract to a Functional Keras model, the same way for every architecture.

The skeleton scales the window, folds its channels, hands the rest to an architecture (the *core*) and turns what comes
back into sorted quantiles in original units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy.typing as npt

from tsattn.config import Options
from tsattn.layers import CalibratedQuantiles, DistributionHead, ForecastDistribution, InstanceScaling, SortedQuantiles
from tsattn.layers.distribution_layers import get_distribution
from tsattn.layers.masking import Tensor
from tsattn.models.architecture import Connected, Core, Member, Series, Weights
from tsattn.models.components import (
    AddToLevel,
    ChannelEmbedding,
    FoldChannels,
    QuerySteps,
    UnfoldAttention,
    UnfoldQuantiles,
)
from tsattn.models.covariates import CovariateEffect, CovariateScaling, StaticEmbedding
from tsattn.models.lookbacks import AlignKeys, FoldLookbacks, MeanOfLookbacks, lengths
from tsattn.models.options import NetworkOptions
from tsattn.models.registry import ModelEntry
from tsattn.models.residual import Beside
from tsattn.timeseries.window_spec import (
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

CALIBRATED = "calibrated_quantiles"
"""Name of the layer that calibrates, in every model."""

DISTRIBUTION = "distribution"
"""Name of the layer with the distribution of a forecast, in the models that have one."""


@dataclass(frozen=True)
class Reading:
    """A window in scaled space, and what leads back.

    Args:
        series: what the architecture is given.
        length: `(batch,)`.
        center: `(batch, 1, channels)`.
        scale: the same shape.
        effect: `(batch, horizon, channels)`, what is added to what the architecture forecasts: what the covariates that
            are known ahead do, and what stands beside the network; None where there is nothing.
    """

    series: Series
    length: Tensor
    center: Tensor
    scale: Tensor
    effect: Tensor | None = None


class ForecastGraph:
    """A forecaster as Keras graph, with the pieces that training needs.

    Args:
        inputs: symbolic window tensors by name.
        spec: the window they follow.
        options: options of the architecture.
        cores: the architecture, once for each member of an ensemble.
    """

    def __init__(self, inputs: dict[str, Any], spec: WindowSpec, options: NetworkOptions, cores: list[Core]) -> None:
        self.inputs = inputs
        self.spec = spec
        self.channels = len(spec.targets)
        self.joint = options.channels == "joint"
        self.scaling = InstanceScaling(options.scaling, name="scaling")
        self.lookbacks = lengths(spec.context, options.lookbacks or 1)
        self._connected = [core for core in cores if isinstance(core, Connected)]
        self._cores = cores if len(cores) == 1 else [Member(core, f"member_{i}") for i, core in enumerate(cores)]
        self._calibrated = CalibratedQuantiles(spec.median, spec.support, name=CALIBRATED)
        self.distribution = None if options.head == "quantiles" else get_distribution(options.head)
        median = core_window(spec, options).median
        if self.distribution is None:
            self._sorted = SortedQuantiles(median, detach_median=True, name="sorted_quantiles")
        else:
            self._head = DistributionHead(options.head, name="distribution_head")
            self._distribution = ForecastDistribution(options.head, spec.levels, name=DISTRIBUTION)
            self._add_effect = AddToLevel(median, name="add_effect")
        self._add_base = AddToLevel(median, name="add_base")
        self._fold = FoldChannels(self.channels)
        self._unfold = UnfoldQuantiles(self.channels)
        self._embed = ChannelEmbedding(max(options.width // 4, 1), name="channel_embedding")
        self.covariate_scaling = CovariateScaling(name="covariate_scaling") if spec.past_covariates else None
        self._effect = CovariateEffect(self.channels, name="covariate_effect") if spec.future_covariates else None
        self.beside = Beside(options, spec)
        self.static_numbers = tuple(static.name for static in spec.static if static.categories is None)
        self.static_scaling = CovariateScaling(name="static_scaling") if self.static_numbers else None
        self._static = _static_embedding(spec, options)
        self.window = self._read(inputs[PAST], inputs[OBSERVED], inputs[LENGTH], inputs.get(PAST_COVARIATES))

    @property
    def _folds(self) -> bool:
        return not self.joint and self.channels > 1

    def _read(
        self, past: Tensor, observed: Tensor, length: Tensor, covariates: Tensor | None = None, repeats: int = 1
    ) -> Reading:
        """Return a window in scaled space, without what covariates that are known ahead do to the history.

        With ``repeats`` it is one of so many look-backs of each window of the inputs.
        """
        scaled, center, scale = self.scaling(past, observed)
        width = self.channels if self._folds else 1
        effect = ahead = None
        if covariates is not None and self.covariate_scaling is not None:
            covariates = self.covariate_scaling(covariates)
            if self._effect is not None:
                ahead = _repeated(self._scaled_ahead(), repeats)
                known = len(self.spec.future_covariates)
                scaled = (scaled - self._effect(covariates[:, :, :known])) * observed
                effect, ahead = self._effect(ahead), _repeated(ahead, width)
            covariates = _repeated(covariates, width)
        for added in self.beside(scaled, observed, length, center, scale):
            effect = added if effect is None else effect + added
        static = None
        if self._static is not None:
            static = _repeated(self._static(self._static_inputs()), repeats * width)
        series = Series(scaled, observed, length, static, covariates, ahead)
        if self._folds:
            values, seen, steps = (self._fold(x) for x in (scaled, observed, length))
            channel = self._embed(scaled)
            static = channel if static is None else keras.ops.concatenate([channel, static], axis=-1)
            series = Series(values, seen, steps, static, covariates, ahead)
        return Reading(series, length, center, scale, effect)

    def _static_inputs(self) -> list[Tensor]:
        """Return the static covariates: the numbers, scaled, in one tensor, and the categories."""
        numbers = [self.inputs[static.input] for static in self.spec.static if static.categories is None]
        categories = [self.inputs[static.input] for static in self.spec.static if static.categories is not None]
        if self.static_scaling is None:
            return categories
        return [self.static_scaling(keras.ops.stack(numbers, axis=-1)), *categories]

    def _scaled_ahead(self) -> Tensor:
        """Return what is known ahead, scaled by the statistics of the same features in the past."""
        ahead, names = self.inputs[FUTURE_COVARIATES], self.spec.past_covariates
        blank = len(names) - len(self.spec.future_covariates)
        whole = keras.ops.pad(ahead, [[0, 0], [0, 0], [0, blank]]) if blank else ahead
        assert self.covariate_scaling is not None
        scaled = self.covariate_scaling(whole)
        return scaled[:, :, : len(self.spec.future_covariates)]

    def connect(self, adjacency: npt.ArrayLike) -> None:
        """Give the graph between the targets, `(targets, targets)`, to an architecture that takes one."""
        for core in self._connected:
            core.connect(adjacency)

    def scale_target(self, target: Tensor, observed: Tensor) -> Tensor:
        """Scale the target `(batch, horizon, channels)` by the window before it; 0 where missing."""
        return self.scaling(target, observed, center=self.window.center, scale=self.window.scale)

    def _decoded(
        self, target: Tensor | None = None, window: Reading | None = None
    ) -> tuple[list[Tensor], list[Weights]]:
        """Return the free numbers `(rows, horizon, width, levels)`, with their base, and the attention, by member."""
        window = window or self.window
        series, effect = window.series, window.effect
        if target is not None:
            target = target if effect is None else target - effect
            target = self._fold(target) if self._folds else target
        numbers, weights = [], []
        for core in self._cores:
            decoded = core(series, target)
            numbers.append(decoded.raw if decoded.base is None else self._add_base([decoded.raw, decoded.base]))
            weights += [] if decoded.weights is None else [decoded.weights]
        return numbers, weights

    def scaled_quantiles(
        self, target: Tensor | None = None, window: Reading | None = None
    ) -> tuple[list[Tensor], list[Weights]]:
        """Return the quantiles `(batch, horizon, channels, levels)` in scaled space, and the attention, by member.

        Args:
            target: what the window is followed by, in training.
            window: another reading than that of the inputs.
        """
        effect = (window or self.window).effect
        numbers, weights = self._decoded(target, window)
        quantiles = []
        for raw in numbers:
            member = self._unfold(self._sorted(raw)) if self._folds else self._sorted(raw)
            quantiles.append(member if effect is None else member + keras.ops.expand_dims(effect, -1))
        return quantiles, weights

    def parameters(
        self, target: Tensor | None = None, window: Reading | None = None, *, scaled: bool = False
    ) -> tuple[list[Tensor], list[Weights]]:
        """Return the parameters `(batch, horizon, channels, parameters)` of the distribution, and the attention.

        Args:
            target: what the window is followed by, in training, in scaled space.
            window: another reading than that of the inputs.
            scaled: whether they are those of the values in scaled space, else in original units.
        """
        window = window or self.window
        numbers, weights = self._decoded(target, window)
        made = []
        for raw in numbers:
            member = self._unfold(raw) if self._folds else raw
            if window.effect is not None:
                member = self._add_effect([member, keras.ops.expand_dims(window.effect, -1)])
            units = {} if scaled else {"center": window.center, "scale": window.scale}
            made.append(self._head(member, **units))
        return made, weights

    def inference(self) -> keras.Model:
        """Return the model from a window to quantiles in original units, and attention where there is any.

        The quantiles are the mean over the members of an ensemble and over the look-backs (Vincent 1912), and so is
        the attention. Where there is a distribution its parameters are that mean, so that what is forecast is one
        distribution of its family; of normal ones that is the same.
        """
        window, count = self.window, len(self.lookbacks)
        if count > 1:
            fold = FoldLookbacks(self.lookbacks, name="lookbacks")
            past, observed, length = fold(self.inputs[PAST], self.inputs[OBSERVED], self.inputs[LENGTH])
            known = self.inputs.get(PAST_COVARIATES)
            known = None if known is None else fold(known, known, self.inputs[LENGTH])[0]
            window = self._read(past, observed, length, known, count)
        members, weights = (self.parameters if self.distribution else self.scaled_quantiles)(window=window)
        made = _mean(members, "mean_of_members")
        if self.distribution is None:
            made = self.scaling(made, center=window.center, scale=window.scale, inverse=True)
        made = MeanOfLookbacks(count, name="mean_of_lookbacks")(made) if count > 1 else made
        if self.distribution is None:
            outputs = {QUANTILES: self._calibrated(made)}
        else:
            outputs = {QUANTILES: self._calibrated(self._distribution(made)), PARAMETERS: made}
        if weights:
            length, key_steps = self.inputs[LENGTH], weights[0].key_steps
            attention = _mean([member.values for member in weights], "mean_attention")
            attention = UnfoldAttention(1 if self.joint else self.channels)(attention)
            if count > 1:
                aligned = AlignKeys(count, name="align_keys")(attention, key_steps(window.length))
                attention = MeanOfLookbacks(count, name="mean_attention_of_lookbacks")(aligned)
            outputs[ATTENTION] = attention
            outputs[KEY_STEPS] = key_steps(length)
            outputs[QUERY_STEPS] = QuerySteps(self.spec.horizon, weights[0].query_length)(length)
        return keras.Model(self.inputs, outputs, name="forecaster")


def core_window(spec: WindowSpec, options: NetworkOptions) -> WindowSpec:
    """Return the window that a core is made for: where there is a distribution, with a level for each parameter.

    The location comes first and is the median. The other levels stand for numbers that are no quantiles.
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


def _repeated(values: Tensor, times: int) -> Tensor:
    """Return each row of the batch so many times, next to each other."""
    return values if times == 1 else keras.ops.repeat(values, times, axis=0)


def _mean(members: list[Tensor], name: str) -> Tensor:
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
    """Build a trained architecture.

    Args:
        entry: the model.
        options: its options.
        spec: the window.
        portable: keep cuDNN out of the graph, so that what is traced on a GPU runs anywhere.
    """
    cores = [entry.build()(options, core_window(spec, options), portable) for _ in range(options.members)]
    return ForecastGraph(window_inputs(spec), spec, options, cores)


def build_baseline(entry: ModelEntry, spec: WindowSpec, options: Options | None = None) -> keras.Model:
    """Build a baseline, or a registered model with nothing to train: a model of the same contract."""
    inputs = window_inputs(spec)
    builder = entry.build()
    made = builder(entry.name, spec) if entry.module is None else builder(options or entry.options(), spec)
    quantiles = made(inputs[PAST], inputs[OBSERVED], inputs[LENGTH])
    quantiles = CalibratedQuantiles(spec.median, spec.support, name=CALIBRATED)(quantiles)
    return keras.Model(inputs, {QUANTILES: quantiles}, name=entry.name)

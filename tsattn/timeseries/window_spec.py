"""Names, shapes and meaning of the tensors of a model: the contract between data, models, export and serving.

A *window* holds everything that is known at one forecast origin.

========================  ==============================  =====================================================
Input                     Shape                           Meaning
========================  ==============================  =====================================================
``past``                  [batch, context, targets]       history in original units, oldest first, right-padded;
                                                          0 where missing or padded
``observed``              [batch, context, targets]       1 where ``past`` was observed, else 0
``length``                [batch] int32                   number of valid steps; step t is padding if t >= length
``past_covariates``       [batch, context, features]      covariates over the history, future covariates first; NaN
                                                          where missing or padded; only if the data have any
``future_covariates``     [batch, horizon, features]      future covariates over the horizon; NaN where missing
``static_NAME``           [batch]                         one input per static covariate, only if there are any:
                                                          float32, NaN where missing, or int32, the index of a
                                                          category from 1, 0 where unknown
``target``                [batch, horizon, targets]       training only: the values to forecast, 0 where missing
``target_observed``       [batch, horizon, targets]       training only: 1 where ``target`` was observed, else 0
``target_scale``          [batch, targets]                training only: scale by which errors of the series are divided
========================  ==============================  =====================================================

========================  ==============================  =====================================================
Output                    Shape                           Meaning
========================  ==============================  =====================================================
``quantiles``             [batch, horizon, targets,       ascending quantiles in original units
                          levels]
``parameters``            [batch, horizon, targets,       parameters of the distribution of each step, in original
                          parameters]                     units, if the model has one; see
                                                          tsattn.layers.DistributionHead
``samples``               [batch, samples, horizon,       sample paths from it, in original units
                          targets]
``forecast``              [batch, horizon, targets]       the 0.5 quantile
``weights``               [batch, horizon, targets,       weight of each method in the forecast, if the model combines
                          methods]                        several
``attention``             [batch, targets or 1, heads,    weights; 0 for padding; each row sums to 1 (to 0 without
                          queries, keys]                  history); one head unless the model has several
``key_steps``             [batch, keys, 2] int32          first and last step of the history that a key covers, -1 for
                                                          padding
``query_steps``           [batch, queries, 2] int32       first and last step of the horizon that a query covers
========================  ==============================  =====================================================

A gap is a step with ``t < length`` and ``observed`` 0. NaN occurs in covariates only; their scaling replaces it by the
mean. Models never see timestamps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsattn.config import RunConfig
from tsattn.timeseries.calendar import calendar_feature_names
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.schema import Schema

PAST = "past"
OBSERVED = "observed"
LENGTH = "length"
PAST_COVARIATES = "past_covariates"
FUTURE_COVARIATES = "future_covariates"
STATIC_PREFIX = "static_"
TARGET = "target"
TARGET_OBSERVED = "target_observed"
TARGET_SCALE = "target_scale"

QUANTILES = "quantiles"
FORECAST = "forecast"
PARAMETERS = "parameters"
SAMPLES = "samples"
WEIGHTS = "weights"
ATTENTION = "attention"
KEY_STEPS = "key_steps"
QUERY_STEPS = "query_steps"


@dataclass(frozen=True)
class StaticInput:
    """One static covariate of a window.

    Args:
        name: Its column.
        input: Name of the tensor.
        categories: Its categories; None for numbers.
    """

    name: str
    input: str
    categories: tuple[str, ...] | None = None

    @classmethod
    def from_names(cls, names: Iterable[str], categories: Mapping[str, tuple[str, ...]]) -> tuple[Self, ...]:
        """Return static covariates. "_" replaces the characters that names of tensors cannot have."""
        inputs: dict[str, str] = {}
        for name in names:
            plain = STATIC_PREFIX + re.sub(r"[^A-Za-z0-9_]", "_", name)
            inputs[name] = plain if plain not in inputs.values() else f"{plain}_{len(inputs)}"
        return tuple(cls(name, input, categories.get(name)) for name, input in inputs.items())

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {value: number for number, value in enumerate(self.categories or (), start=1)}

    def indices(self, labels: Iterable[str]) -> npt.NDArray[np.int32]:
        """Return the index of each label, 1 to n; 0 for unknown ones."""
        return np.array([self._index_of.get(label, 0) for label in labels], dtype=np.int32)

    def gather(self, panel: Panel, series: Ints) -> npt.NDArray[Any]:
        """Return the tensor for some series of a panel, by index."""
        covariate = next(covariate for covariate in panel.static if covariate.name == self.name)
        if covariate.labels is None:
            return covariate.values[series]
        return np.append(self.indices(covariate.labels), np.int32(0))[covariate.values[series]]


@dataclass(frozen=True)
class WindowSpec:
    """Sizes and names of one window.

    Args:
        context: Steps of history.
        horizon: Steps to forecast.
        targets: Names of the target channels, in order.
        season: Season length in steps; 1 without seasonality.
        levels: Ascending quantile levels in (0, 1), with 0.5, the point forecast.
        past_covariates: Names of the features over the history, beginning with ``future_covariates``.
        future_covariates: Names of the features over the horizon.
        static: The static covariates.
        support: Domain of the targets: ``real``, ``positive`` (not negative) or ``count``.
    """

    context: int
    horizon: int
    targets: tuple[str, ...]
    season: int = 1
    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    past_covariates: tuple[str, ...] = ()
    future_covariates: tuple[str, ...] = ()
    static: tuple[StaticInput, ...] = ()
    support: str = "real"

    @classmethod
    def from_schema(cls, schema: Schema, config: RunConfig, context: int) -> WindowSpec:
        """Return the window for data that were read by a schema."""
        future = (*schema.feature_names(*schema.future_covariates), *calendar_feature_names(schema))
        return cls(
            context,
            schema.horizon,
            schema.targets,
            schema.season,
            tuple(config.levels),
            past_covariates=(*future, *schema.feature_names(*schema.past_covariates)),
            future_covariates=future,
            static=StaticInput.from_names(schema.static_covariates, schema.categories),
            support=schema.support,
        )

    @property
    def median(self) -> int:
        """Index of the 0.5 quantile in ``levels``."""
        return self.levels.index(0.5)

    def shapes(self, *, training: bool = False) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor of the window by name, without the batch axis."""
        channels = len(self.targets)
        shapes: dict[str, tuple[int, ...]] = {
            PAST: (self.context, channels),
            OBSERVED: (self.context, channels),
            LENGTH: (),
        }
        if self.past_covariates:
            shapes[PAST_COVARIATES] = (self.context, len(self.past_covariates))
        if self.future_covariates:
            shapes[FUTURE_COVARIATES] = (self.horizon, len(self.future_covariates))
        shapes.update({static.input: () for static in self.static})
        if training:
            shapes[TARGET] = (self.horizon, channels)
            shapes[TARGET_OBSERVED] = (self.horizon, channels)
            shapes[TARGET_SCALE] = (channels,)
        return shapes

    def without_covariates(self) -> WindowSpec:
        """Return the window of the targets only."""
        return replace(self, past_covariates=(), future_covariates=(), static=())

    def dtype(self, name: str) -> str:
        """Return the dtype of a tensor of the window."""
        integers = {LENGTH, *(static.input for static in self.static if static.categories is not None)}
        return "int32" if name in integers else "float32"

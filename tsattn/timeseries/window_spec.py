"""The window contract: names, shapes and meaning of the tensors that every model takes.

A *window* is what is known at one forecast origin. It is defined here once and imported by the data room (which
gathers windows in NumPy), the models (which declare them as inputs), the export and the serving.

========================  ==============================  =====================================================
name                      shape                           meaning
========================  ==============================  =====================================================
``past``                  [batch, context, targets]       history in original units, oldest first, right-padded;
                                                          0 where missing or padded
``observed``              [batch, context, targets]       1 where ``past`` was observed, else 0
``length``                [batch] int32                   number of valid steps; step t is padding if t >= length
``past_covariates``       [batch, context, features]      features of the history, those known ahead first; NaN where
                                                          unknown or padded; only where the data has them
``future_covariates``     [batch, horizon, features]      those known ahead, over the horizon; NaN where unknown
``static_NAME``           [batch]                         one input a static covariate, only where there are any:
                                                          float32, NaN where unknown, or int32, the number of a
                                                          category, 0 where unknown
``target``                [batch, horizon, targets]       training only: the values to forecast, 0 where missing
``target_observed``       [batch, horizon, targets]       training only: 1 where ``target`` was observed, else 0
``target_scale``          [batch, targets]                training only: what errors of the series are divided by
========================  ==============================  =====================================================

What a model gives back:

========================  ==============================  =====================================================
name                      shape                           meaning
========================  ==============================  =====================================================
``quantiles``             [batch, horizon, targets,       ascending quantiles in original units
                          levels]
``parameters``            [batch, horizon, targets,       those of the distribution of each step, in original units,
                          parameters]                     where the model has one; see tsattn.layers.DistributionHead
``samples``               [batch, samples, horizon,       paths that are drawn from it, in original units
                          targets]
``forecast``              [batch, horizon, targets]       the 0.5 quantile
``attention``             [batch, targets or 1, heads,    weights; 0 for padding; a row sums to 1 (to 0 where there
                          queries, keys]                  is no history); one head unless the model has several
``key_steps``             [batch, keys, 2] int32          first and last step of the history that a key stands for,
                                                          -1 for padding
``query_steps``           [batch, queries, 2] int32       first and last step of the horizon that a query stands for
========================  ==============================  =====================================================

A gap is a step with ``t < length`` and ``observed`` 0. Of NaN a model sees that of covariates alone, in whose place its
own scaling puts the mean; it never sees a time stamp.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

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
ATTENTION = "attention"
KEY_STEPS = "key_steps"
QUERY_STEPS = "query_steps"


@dataclass(frozen=True)
class StaticInput:
    """One static covariate of a window.

    Args:
        name: its column.
        input: name of the tensor.
        categories: its values where it is a category; None for numbers.
    """

    name: str
    input: str
    categories: tuple[str, ...] | None = None

    @classmethod
    def several(cls, names: Iterable[str], categories: Mapping[str, tuple[str, ...]]) -> tuple[Self, ...]:
        """Return static covariates whose tensors have their names, with "_" for what a graph does not take there."""
        inputs: dict[str, str] = {}
        for name in names:
            plain = STATIC_PREFIX + re.sub(r"[^A-Za-z0-9_]", "_", name)
            inputs[name] = plain if plain not in inputs.values() else f"{plain}_{len(inputs)}"
        return tuple(cls(name, input, categories.get(name)) for name, input in inputs.items())

    @cached_property
    def _places(self) -> dict[str, int]:
        return {value: number for number, value in enumerate(self.categories or (), start=1)}

    def indices(self, labels: Iterable[str]) -> npt.NDArray[np.int32]:
        """Return the number of categories, 1 to n; 0 for those that are unknown."""
        return np.array([self._places.get(label, 0) for label in labels], dtype=np.int32)


@dataclass(frozen=True)
class WindowSpec:
    """Sizes and names of one window.

    Args:
        context: look-back: the number of steps of ``past``.
        horizon: the number of steps to forecast.
        targets: names of the target channels, in order.
        season: season length in steps; 1 where there is none.
        levels: ascending quantile levels in (0, 1); 0.5, the point forecast, is among them.
        past_covariates: names of the features of the history; it begins with ``future_covariates``.
        future_covariates: names of the features known over the horizon as well.
        static: the static covariates.
        support: what values the targets can have: ``real``, ``positive`` (none below 0) or ``count``.
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
        """Return the window of the targets alone."""
        return replace(self, past_covariates=(), future_covariates=(), static=())

    def dtype(self, name: str) -> str:
        """Return the type of a tensor of the window."""
        whole = {LENGTH, *(static.input for static in self.static if static.categories is not None)}
        return "int32" if name in whole else "float32"

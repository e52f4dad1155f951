"""The kind of numbers that the columns of the training data hold, from which a server makes example rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.config import BaseConfig
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema

_MAX_VALUES = 6
"""Number of distinct values up to which a column is drawn from these."""
_MAX_DECIMALS = 4
_RANGE = (0.05, 0.95)


class ColumnSample(BaseConfig):
    """The kind of numbers of a column.

    Args:
        low: Its 5 % quantile.
        high: Its 95 % quantile.
        decimals: Decimals of its numbers, at most 4.
        values: Its distinct values if they are few, else none.
        rates: Frequency of each of these.
    """

    low: float = 80.0
    high: float = 160.0
    decimals: int = 1
    values: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()

    @classmethod
    def of(cls, numbers: npt.NDArray[Any]) -> ColumnSample:
        """Return the kind of some numbers, NaN where missing."""
        known = np.asarray(numbers, dtype=np.float64)
        known = known[np.isfinite(known)]
        if not known.size:
            return cls()
        exact = (n for n in range(_MAX_DECIMALS) if np.allclose(known, np.round(known, n), rtol=1e-6, atol=0))
        decimals = next(exact, _MAX_DECIMALS)
        values, counts = np.unique(np.round(known, decimals), return_counts=True)
        low, high = np.quantile(known, _RANGE)
        few = len(values) <= _MAX_VALUES
        return cls(
            low=round(float(low), decimals),
            high=round(float(high), decimals),
            decimals=decimals,
            values=tuple(values.tolist()) if few else (),
            rates=tuple((counts / counts.sum()).tolist()) if few else (),
        )

    def draw(self, count: int, rng: np.random.Generator) -> list[float]:
        """Return numbers of this kind."""
        if self.values:
            return [float(value) for value in rng.choice(self.values, count, p=self.rates)]
        return [float(value) for value in np.round(rng.uniform(self.low, self.high, count), self.decimals)]


def sample_columns(panel: Panel, schema: Schema) -> dict[str, ColumnSample]:
    """Return the kind of each column of targets and of covariates with numbers."""
    samples = {name: ColumnSample.of(panel.values[:, index]) for index, name in enumerate(panel.targets)}
    if panel.covariates is not None:
        past = panel.covariates.series.slice(0, panel.lengths).values
        names = panel.covariates.names
        samples |= {name: ColumnSample.of(past[:, names.index(name)]) for name in schema.covariates if name in names}
    return samples | {static.name: ColumnSample.of(static.values) for static in panel.static if static.labels is None}

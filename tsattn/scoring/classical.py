"""Classical baselines by `statsforecast`, fitted anew on the history before each origin; an optional extra.

Exponential smoothing (Hyndman et al. 2002), the Theta family (Fiorucci et al. 2016) and seasonal ARIMA (Hyndman and
Khandakar 2008), each with its form chosen by the data. They see the whole history of a series up to the origin, not a
look-back, and no covariates.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tsattn.errors import ConfigError, RunError

if TYPE_CHECKING:
    from tsattn.timeseries.panel import Panel
    from tsattn.timeseries.window_spec import WindowSpec


Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CLASSICAL = {"autoets": "AutoETS", "autotheta": "AutoTheta", "autoarima": "AutoARIMA"}
"""Names here, and those of the classes in `statsforecast.models`."""


class Rival(Protocol):
    """Forecasts windows of a panel, whatever it is."""

    @property
    def spec(self) -> WindowSpec:
        """The window, of which horizon, season and levels are those of its rivals."""
        ...

    def forecast(self, panel: Panel, series: Ints, origin: Ints) -> npt.NDArray[Any]:
        """Return quantiles [windows, horizon, targets, levels] at pairs of series and origin, in original units."""
        ...


@dataclass
class Classical:
    """A classical baseline.

    Gaps within a history are bridged by straight lines, which `statsforecast` needs; steps without a value at its end
    are forecast too. Where no form can be fitted, as to a history of a few steps, another forecast stands in.

    Args:
        name: of `CLASSICAL`.
        spec: the window, of which season, horizon and levels count.
        stand_in: gives the forecast where there is none.
        fitted: histories that were tried.
        failed: those of them that nothing could be fitted to.
    """

    name: str
    spec: WindowSpec
    stand_in: Rival
    fitted: int = 0
    failed: int = 0
    _model: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        kind = getattr(need_statsforecast(), CLASSICAL[self.name])
        self._model = kind(season_length=self.spec.season)

    def forecast(self, panel: Panel, series: Ints, origin: Ints) -> npt.NDArray[Any]:
        """Return quantiles [windows, horizon, targets, levels], see `Rival`."""
        targets = len(panel.targets)
        found = np.full((len(series), self.spec.horizon, targets, len(self.spec.levels)), np.nan)
        for window, (index, steps) in enumerate(zip(series, origin, strict=True)):
            for target in range(targets):
                found[window, :, target] = self._of(panel.series(int(index))[: int(steps), target].astype("float64"))
        missing = ~np.isfinite(found).all(axis=(1, 3))
        self.fitted += missing.size
        self.failed += int(missing.sum())
        if missing.any():
            other = self.stand_in.forecast(panel, series, origin)
            found = np.where(missing[:, None, :, None], other, found)
        return found

    def _of(self, history: Floats) -> Floats:
        """Return the quantiles of one series [horizon, levels], NaN where nothing can be fitted."""
        seen = np.flatnonzero(np.isfinite(history))
        if not len(seen):
            return np.full((self.spec.horizon, len(self.spec.levels)), np.nan)
        behind = len(history) - 1 - int(seen[-1])
        whole = np.interp(np.arange(seen[0], seen[-1] + 1), seen, history[seen])
        asked = sorted({_share(level) for level in self.spec.levels} - {0})
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                answer = self._model.forecast(y=whole, h=self.spec.horizon + behind, level=asked or None)
        # Whatever it raises says that no form of it can be fitted; most of it is a bare Exception.
        except Exception:
            return np.full((self.spec.horizon, len(self.spec.levels)), np.nan)
        columns = [np.asarray(answer[_column(level)], dtype="float64")[behind:] for level in self.spec.levels]
        return np.stack(columns, axis=1)


def unfitted(name: str, failed: int, histories: int) -> str | None:
    """Return what is to be said of a classical baseline that could not be fitted to some histories."""
    if not failed:
        return None
    return (
        f"{name} could not be fitted to {failed} of {histories} histories; the seasonal naive forecast stands in there."
    )


def _share(level: float) -> float:
    """Return the share of the interval, in percent, that a quantile level bounds; 0 for the median."""
    share = round(100 * abs(1 - 2 * level), 6)
    return int(share) if share == int(share) else share


def _column(level: float) -> str:
    """Return what `statsforecast` calls a quantile."""
    share = _share(level)
    return "mean" if share == 0 else f"{'lo' if level < 0.5 else 'hi'}-{share}"


def check_classical(names: Sequence[str]) -> None:
    """Check the names of classical baselines, and that they can be had, before any work.

    Raises:
        ConfigError: there is no such baseline.
        RunError: `statsforecast` is not installed.
    """
    for name in names:
        if name not in CLASSICAL:
            raise ConfigError(f"expected classical baselines out of {', '.join(CLASSICAL)}. Received: {name}")
    if names:
        need_statsforecast()


def need_statsforecast() -> Any:
    """Return the module of its models.

    Raises:
        RunError: it is not installed.
    """
    try:
        # Its import takes seconds.
        return importlib.import_module("statsforecast.models")
    except ImportError:
        raise RunError(
            "classical baselines need packages that are not installed: pip install 'tsattn[baselines]'"
        ) from None

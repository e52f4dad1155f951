"""What is added to the forecast of a network, in scaled space, and is simple enough to be learned from few data."""

from __future__ import annotations

from tsattn.layers.masking import Tensor
from tsattn.models.linear_path import LinearPath
from tsattn.models.options import NetworkOptions
from tsattn.models.reversion import LevelReversion
from tsattn.window import WindowSpec


class Beside:
    """The way back to a typical level, and a linear regression on the history, as far as the options have them.

    Args:
        options: those of the network.
        spec: the window.
    """

    def __init__(self, options: NetworkOptions, spec: WindowSpec) -> None:
        self.reversion = (
            LevelReversion(spec.horizon, spec.season, name="level_reversion") if options.reversion else None
        )
        self.linear = LinearPath(spec.horizon, name="linear_path") if options.linear else None

    def __call__(self, values: Tensor, observed: Tensor, length: Tensor, center: Tensor, scale: Tensor) -> list[Tensor]:
        """Return what there is to add, each `(batch, horizon, channels)`."""
        added = [] if self.linear is None else [self.linear(values, length)]
        return added if self.reversion is None else [*added, self.reversion(values, observed, length, center, scale)]

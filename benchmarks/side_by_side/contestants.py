"""The contestants and their options. This module reads no data and imports no library of a contestant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CORES = 2
"""Processor cores of a contestant."""

Options = dict[str, Any]


@dataclass(frozen=True)
class Contestant:
    """A forecaster.

    Args:
        name: Name in the table.
        module: Module of this package that fits it.
        about: Description under the table.
        options: Options of the module, by protocol.
        peer: Whether it runs in the environment of the peers.
        budgeted: Whether it has seeds and trains until the budget ends; otherwise it runs once, without a limit.
    """

    name: str
    module: str
    about: str
    options: dict[str, Options] = field(default_factory=dict)
    peer: bool = False
    budgeted: bool = True

    def options_of(self, protocol: str) -> Options:
        """Return the options for a protocol."""
        return self.options.get(protocol, {})


def _network(name: str, about: str, **options: Any) -> Contestant:
    """Return a network of neuralforecast; the context is the published one for ETTh1, and eight days for M4 Hourly."""
    # The learning rate is halved three times, the default of NHITS but not of the others.
    common = {"model": name, "num_lr_decays": 3, **options}
    # Validation errors are in units of the data: without scaling, the largest series of M4 would select the weights.
    by_protocol: dict[str, Options] = {
        "ett": {"input_size": 336},
        "m4": {"input_size": 192, "local_scaler_type": "standard"},
    }
    return Contestant(
        name, "networks", about, {key: {**common, **more} for key, more in by_protocol.items()}, peer=True
    )


def _classical(name: str, more: str = "") -> Contestant:
    about = (
        "statsforecast, season 24, one fit per series, two processes; on ETTh1 fitted once to the training part, "
        f"then rolled forward over the windows{more}"
    )
    return Contestant(name, "classical", about, {key: {"model": name} for key in ("ett", "m4")}, True, budgeted=False)


CONTESTANTS = (
    Contestant("seasonal naive", "naive", "repeats the last 24 hours", budgeted=False),
    Contestant(
        "linear",
        "linear",
        "scikit-learn's Ridge from context to horizon, both relative to the last value, one model for all series; "
        "the penalty is selected on the validation part",
        {"ett": {"context": 336, "scaled": False}, "m4": {"context": 192, "scaled": True}},
        budgeted=False,
    ),
    _classical("AutoETS"),
    _classical("AutoTheta", ", autocorrelations by the Fourier transform, which saves hours for the same forecasts"),
    _network("NHITS", "neuralforecast; each window standardized", scaler_type="standard"),
    _network(
        "PatchTST",
        "neuralforecast; reversible instance normalization, a small network, ten times the library's learning rate",
        learning_rate=1e-3,
        hidden_size=16,
        n_heads=4,
        linear_hidden_size=128,
        dropout=0.3,
        fc_dropout=0.3,
    ),
    _network("LSTM", "neuralforecast; each window standardized", scaler_type="standard"),
    Contestant(
        "tsattn",
        "default",
        "the default, with training.max_seconds so that "
        "fitting ends within the budget; rest is the time reserved for the steps after training, as a multiple of the "
        "time before it",
        {"ett": {"rest": 1.5}, "m4": {"rest": 1.0}},
    ),
)


def get_contestant(name: str) -> Contestant:
    """Return a contestant by name."""
    return next(found for found in CONTESTANTS if found.name == name)

"""Who takes part, and by which options. Nothing here reads data or imports a library of a contestant."""

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
        name: what the table calls it.
        module: module of this package that fits it.
        about: what a reader must know of it.
        options: given to the module, by protocol.
        peer: whether it runs in the environment of the peers; in ours otherwise.
        budgeted: whether it trains for as long as it is given, from a seed; otherwise it takes the time that it takes.
    """

    name: str
    module: str
    about: str
    options: dict[str, Options] = field(default_factory=dict)
    peer: bool = False
    budgeted: bool = True

    def options_of(self, protocol: str) -> Options:
        """Return the options under a protocol."""
        return self.options.get(protocol, {})


def _network(name: str, about: str, **options: Any) -> Contestant:
    """Return a network of neuralforecast; look-backs are the published one of ETTh1 and eight days of M4 Hourly."""
    # The learning rate is halved three times over the steps, as NHITS has it by default and the others have not.
    common = {"model": name, "num_lr_decays": 3, **options}
    # Its validation error is in units of the data: without this, the largest series of M4 would choose the weights.
    lookbacks: dict[str, Options] = {
        "ett": {"input_size": 336},
        "m4": {"input_size": 192, "local_scaler_type": "standard"},
    }
    return Contestant(name, "networks", about, {key: {**common, **more} for key, more in lookbacks.items()}, peer=True)


def _classical(name: str, more: str = "") -> Contestant:
    about = (
        "statsforecast, season 24, a fit a series, two processes; on ETTh1 fitted once to the train part, "
        f"then rolled forward over the windows{more}"
    )
    return Contestant(name, "classical", about, {key: {"model": name} for key in ("ett", "m4")}, True, budgeted=False)


CONTESTANTS = (
    Contestant("seasonal naive", "naive", "the last 24 hours again", budgeted=False),
    Contestant(
        "linear",
        "linear",
        "scikit-learn's Ridge from the look-back to the horizon, both counted from the last value, all series "
        "together; its penalty chosen on the validation part",
        {"ett": {"lookback": 336, "scaled": False}, "m4": {"lookback": 192, "scaled": True}},
        budgeted=False,
    ),
    _classical("AutoETS"),
    _classical("AutoTheta", ", autocorrelations by the Fourier transform, which saves hours and changes nothing"),
    _network("NHITS", "neuralforecast; each window standardised", scaler_type="standard"),
    _network(
        "PatchTST",
        "neuralforecast; reversible instance normalisation, a small network, ten times the library's learning rate",
        learning_rate=1e-3,
        hidden_size=16,
        n_heads=4,
        linear_hidden_size=128,
        dropout=0.3,
        fc_dropout=0.3,
    ),
    _network("LSTM", "neuralforecast; each window standardised", scaler_type="standard"),
    Contestant(
        "tsattn",
        "ours",
        "the default, with training.seconds so that all of the fitting ends by the budget; rest is the time kept for "
        "what follows the training, in units of the time until it could begin",
        {"ett": {"rest": 1.5}, "m4": {"rest": 1.0}},
    ),
)


def contestant(name: str) -> Contestant:
    """Return the contestant called ``name``."""
    return next(found for found in CONTESTANTS if found.name == name)

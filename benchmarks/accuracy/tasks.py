"""The tasks by name: data, protocol, horizon. Nothing here reads data or imports Keras."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

TEST: Final = "test"
VALIDATION: Final = "validation"
Stage = Literal["test", "validation"]

ETT_STEPS = {"ETTh1": 1, "ETTm1": 4}
"""Steps an hour."""

ETT_HOURS = (8640, 2880, 2880)
"""Train, validation and test part: 12, 4 and 4 months of 30 days."""

M4_HORIZON, M4_SEASON = 48, 24

ROADS_TRAIN, ROADS_STEPS, ROADS_HORIZONS = 1612, 12, (3, 6, 9, 12)
"""Steps of the train part of Los-loop, 80 %; steps of history and of the longest forecast; those that are scored."""


INTERVAL_METRICS = ("coverage", "winkler", "wql")
"""Share of values within the widest interval, its interval score, and the weighted quantile loss over all levels."""

BEFORE = "uncalibrated_"
"""Goes before the names of the figures of a model whose factors are 1."""

COLD, COLD_SEASONS = "cold_", (1, 2, 4, 8, 16)
"""Goes before the number of seasons in the names of the errors of histories that are cut to as many; these numbers."""


@dataclass(frozen=True)
class Task:
    """One set of data, cut and scored by one protocol at one horizon.

    Args:
        name: ``etth1-96``, ``ettm1-ot-720`` (the target OT alone), ``m4-hourly``, ``los-loop`` or
            ``classic-FILE``.
        protocol: the way it is cut and scored.
        data: name of the data.
        horizon: steps to forecast; None where that is left to inference.
        season: season length of the naive rows; None where it is left to inference.
        target: the only column to forecast; None for all.
    """

    name: str
    protocol: Literal["ett", "m4", "roads", "classic"]
    data: str
    horizon: int | None = None
    season: int | None = None
    target: str | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the figures that tables show, lower is better."""
        return {
            "ett": ("mse", "mae"),
            "m4": ("smape", "mase", "owa"),
            "roads": tuple(f"{metric}_{steps}" for metric in ("rmse", "mae") for steps in ROADS_HORIZONS),
            "classic": ("relative_mase",),
        }[self.protocol]

    @property
    def headline(self) -> tuple[str, ...]:
        """Names of the figures that stand for the task in a table over several tasks."""
        return self.metrics[-1:] if self.protocol == "m4" else self.metrics

    @property
    def parts(self) -> tuple[int, int, int]:
        """Steps of the train, validation and test part of the ETT protocol."""
        train, validation, test = (hours * ETT_STEPS[self.data] for hours in ETT_HOURS)
        return train, validation, test

    @property
    def may_fall_back(self) -> bool:
        """Whether a variant that names no model is the default as a user has it; in the others it is the network."""
        return self.protocol == "classic"

    def settings(self) -> dict[str, str]:
        """Return the settings that the protocol prescribes, in the form of ``tsattn --set``."""
        if self.protocol == "roads":
            # The epoch is chosen on the last eighth of the train part.
            return {
                "data.horizon": str(ROADS_STEPS),
                "data.context": str(ROADS_STEPS),
                "data.validation": str(ROADS_TRAIN // 8),
            }
        if self.protocol != "ett":
            return {}
        fixed = {
            "data.horizon": str(self.horizon),
            "data.validation": str(self.parts[1]),
            # The validation part is no training data in this protocol.
            "training.refit": "false",
        }
        return {**fixed, "data.target": f'["{self.target}"]'} if self.target else fixed


def task(name: str) -> Task:
    """Return the task called ``name``.

    Raises:
        ValueError: there is none.
    """
    if found := re.fullmatch(r"(etth1|ettm1)(-ot)?-([1-9]\d*)", name):
        data = {"etth1": "ETTh1", "ettm1": "ETTm1"}[found[1]]
        target = "OT" if found[2] else None
        return Task(name, "ett", data, int(found[3]), 24 * ETT_STEPS[data], target)
    if name == "m4-hourly":
        return Task(name, "m4", "Hourly", M4_HORIZON, M4_SEASON)
    if name == "los-loop":
        return Task(name, "roads", name, ROADS_STEPS, 1)
    if found := re.fullmatch(r"classic-(\w+)", name):
        return Task(name, "classic", found[1])
    raise ValueError(
        f"expected a task such as etth1-96, ettm1-ot-720, m4-hourly, los-loop or classic-nile. Received: {name!r}"
    )

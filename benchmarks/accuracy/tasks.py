"""The tasks by name: data, protocol and horizon. This module reads no data and does not import Keras."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

TEST: Final = "test"
VALIDATION: Final = "validation"
Stage = Literal["test", "validation"]

ETT_STEPS_PER_HOUR = {"ETTh1": 1, "ETTm1": 4}

ETT_HOURS = (8640, 2880, 2880)
"""Length of the training, validation and test part: 12, 4 and 4 months of 30 days."""

M4_HORIZON, M4_SEASON = 48, 24

M1_HORIZONS = {"yearly": 6, "quarterly": 8, "monthly": 18}
M1_SEASONS = {"yearly": 1, "quarterly": 4, "monthly": 12}

M1_SINGLES = 20
"""Series of each frequency that are forecast by themselves."""

ROADS_TRAIN, ROADS_STEPS, ROADS_HORIZONS = 1612, 12, (3, 6, 9, 12)
"""Length of the training part of Los-loop, 80 %; of the context and the horizon; horizons that are scored."""

INTERVAL_METRICS = ("coverage", "winkler", "wql")
"""Coverage of the widest interval, its interval score, and the weighted quantile loss over all levels."""

UNCALIBRATED = "uncalibrated_"
"""Prefix of the metrics of a model without its calibration."""

COLD_START, COLD_START_SEASONS = "cold_", (1, 2, 4, 8, 16)
"""Prefix of the errors by number of seasons of history, and these numbers."""


@dataclass(frozen=True)
class Task:
    """A data set that is split and scored by one protocol at one horizon.

    Args:
        name: ``etth1-96``, ``ettm1-ot-720`` (the target OT alone), ``m4-hourly``, ``los-loop``, ``m1-monthly`` (all
            series together), ``m1-monthly-single`` (series by themselves) or ``classic-FILE``.
        protocol: How it is split and scored.
        data: Name of the data set.
        horizon: Steps to forecast; None if inferred.
        season: Season length of the baselines; None if inferred.
        target: The only column to forecast; None for all.
    """

    name: str
    protocol: Literal["ett", "m4", "roads", "m1", "classic"]
    data: str
    horizon: int | None = None
    season: int | None = None
    target: str | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics in tables; lower is better."""
        return {
            "ett": ("mse", "mae"),
            "m4": ("smape", "mase", "owa"),
            "roads": tuple(f"{metric}_{steps}" for metric in ("rmse", "mae") for steps in ROADS_HORIZONS),
            "m1": ("mase",),
            "classic": ("relative_mase",),
        }[self.protocol]

    @property
    def headline(self) -> tuple[str, ...]:
        """Names of the metrics in a table of several tasks."""
        return self.metrics[-1:] if self.protocol == "m4" else self.metrics

    @property
    def parts(self) -> tuple[int, int, int]:
        """Length of the training, validation and test part of the ETT protocol."""
        train, validation, test = (hours * ETT_STEPS_PER_HOUR[self.data] for hours in ETT_HOURS)
        return train, validation, test

    def settings(self) -> dict[str, str]:
        """Return the settings that the protocol prescribes, as for ``tsattn --set``."""
        if self.protocol == "roads":
            # The epoch is selected on the last eighth of the training part.
            return {
                "data.horizon": str(ROADS_STEPS),
                "data.context": str(ROADS_STEPS),
                "data.validation": str(ROADS_TRAIN // 8),
            }
        if self.protocol == "m1":
            return {"data.horizon": str(self.horizon)}
        if self.protocol != "ett":
            return {}
        fixed = {
            "data.horizon": str(self.horizon),
            "data.validation": str(self.parts[1]),
            # This protocol does not train on the validation part.
            "training.refit": "false",
        }
        return {**fixed, "data.target": f'["{self.target}"]'} if self.target else fixed


def get_task(name: str) -> Task:
    """Return a task by name.

    Raises:
        ValueError: There is no such task.
    """
    if found := re.fullmatch(r"(etth1|ettm1)(-ot)?-([1-9]\d*)", name):
        data = {"etth1": "ETTh1", "ettm1": "ETTm1"}[found[1]]
        target = "OT" if found[2] else None
        return Task(name, "ett", data, int(found[3]), 24 * ETT_STEPS_PER_HOUR[data], target)
    if name == "m4-hourly":
        return Task(name, "m4", "Hourly", M4_HORIZON, M4_SEASON)
    if name == "los-loop":
        return Task(name, "roads", name, ROADS_STEPS, 1)
    if found := re.fullmatch(r"m1-(yearly|quarterly|monthly)(-single)?", name):
        return Task(name, "m1", found[1], M1_HORIZONS[found[1]], M1_SEASONS[found[1]])
    if found := re.fullmatch(r"classic-(\w+)", name):
        return Task(name, "classic", found[1])
    raise ValueError(
        "expected a task such as etth1-96, ettm1-ot-720, m4-hourly, los-loop, m1-monthly or classic-nile. "
        f"Received: {name!r}"
    )

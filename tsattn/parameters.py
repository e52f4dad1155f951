"""The parameters of a forecaster, and the configuration that they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sklearn.base import BaseEstimator

from tsattn.config import Combine, DataConfig, RunConfig, Support


class Parameters(BaseEstimator):
    """What a `tsattn.Forecaster` is made from, which tells what each of them means."""

    def __init__(
        self,
        model: str | None = None,
        horizon: int | None = None,
        *,
        context: int | None = None,
        season: int | None = None,
        freq: str | None = None,
        time: str | None = None,
        id: str | None = None,
        target: str | Sequence[str] | None = None,
        future_covariates: str | Sequence[str] | None = None,
        past_covariates: str | Sequence[str] | None = None,
        static_covariates: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        calendar: str | Sequence[str] | None = None,
        holidays: str | None = None,
        graph: Path | str | None = None,
        support: Support = "real",
        on_duplicate: Combine | None = None,
        resample: Combine | None = None,
        validation: int | None = None,
        levels: Sequence[float] = (0.1, 0.5, 0.9),
        options: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        selection: Mapping[str, Any] | None = None,
        seed: int = 0,
        init: Path | str | None = None,
    ) -> None:
        self.model = model
        self.horizon = horizon
        self.context = context
        self.season = season
        self.freq = freq
        self.time = time
        self.id = id
        self.target = target
        self.future_covariates = future_covariates
        self.past_covariates = past_covariates
        self.static_covariates = static_covariates
        self.categories = categories
        self.calendar = calendar
        self.holidays = holidays
        self.graph = graph
        self.support = support
        self.on_duplicate = on_duplicate
        self.resample = resample
        self.validation = validation
        self.levels = levels
        self.options = options
        self.training = training
        self.selection = selection
        self.seed = seed
        self.init = init

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Return the forecaster of a configuration."""
        options = {key: value for key, value in config.model.items() if key != "name"}
        return cls(
            config.model.get("name"),
            **config.data.model_dump(),
            levels=config.levels,
            options=options or None,
            training=config.training.model_dump(exclude_defaults=True) or None,
            selection=None if config.selection is None else config.selection.model_dump(exclude_defaults=True),
            seed=config.seed,
            init=config.init,
        )

    def to_config(self) -> RunConfig:
        """Return the parameters as a validated configuration.

        Raises:
            ConfigError: a parameter has a value that is not allowed.
        """
        names = tuple(DataConfig.model_fields)
        name = {} if self.model is None else {"name": self.model}
        return RunConfig.from_dict(
            {
                "model": {**name, **(self.options or {})},
                "data": {name: getattr(self, name) for name in names},
                "training": dict(self.training or {}),
                "selection": None if self.selection is None else dict(self.selection),
                "levels": tuple(self.levels),
                "seed": self.seed,
                "init": self.init,
            },
            source="Forecaster",
        )

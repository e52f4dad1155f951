"""The forecaster: scikit-learn manners around data, model, training and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from tsattn.config import RunConfig
from tsattn.data import Panel, Schema, forecast_frame, load
from tsattn.evaluation.backtest import Backtest, Refit, check_refit, run_backtest
from tsattn.evaluation.compare import Candidate, baseline_spec, beside_baselines, compare
from tsattn.evaluation.origins import BacktestPlan, plan_backtest
from tsattn.evaluation.predict import predict_windows
from tsattn.fitting import Fitting, Watch, resolved, window_of
from tsattn.models import resolve_options, rules
from tsattn.models.graph import build_baseline, build_graph
from tsattn.models.options import NetworkOptions
from tsattn.training.fit import History


class Forecaster(BaseEstimator):
    """Forecasts time series: from a data frame or file to quantiles in original units.

    What is None is inferred from the data or chosen by rule, and can be read from `schema_` and `config_` after `fit`.

    Args:
        model: name of the architecture, see `tsattn.models.MODELS`.
        horizon: steps to forecast.
        context: look-back, in steps.
        season: season length, in steps.
        freq: pandas frequency alias, or a whole number where stamps are integers.
        time: column of the time stamps.
        id: column that tells the series apart.
        target: column or columns to forecast.
        validation: last steps of each series kept to choose the number of epochs.
        levels: quantile levels; 0.5, the forecast, is among them.
        options: options of the architecture by name, see `tsattn models NAME`.
        training: options of the training by name, see `tsattn.config.TrainingConfig`.
        seed: seed of weights and batches. Fitting sets the random state of Keras, NumPy and Python with it.

    Attributes:
        schema_: how the data were read.
        config_: the whole configuration, with nothing left open.
        spec_: the window that the model takes.
        model_: the Keras model from window to quantiles.
        history_: losses of the training; None for a baseline.
        scores_: the model beside the naive baselines on the validation part, a row a model.

    Example:
        >>> forecaster = Forecaster(horizon=24).fit(frame)
        >>> forecaster.predict()  # unique_id, ds, y, y-lo-80, y-hi-80
    """

    def __init__(
        self,
        model: str = "seq2seq",
        horizon: int | None = None,
        *,
        context: int | None = None,
        season: int | None = None,
        freq: str | None = None,
        time: str | None = None,
        id: str | None = None,
        target: str | Sequence[str] | None = None,
        validation: int | None = None,
        levels: Sequence[float] = (0.1, 0.5, 0.9),
        options: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.horizon = horizon
        self.context = context
        self.season = season
        self.freq = freq
        self.time = time
        self.id = id
        self.target = target
        self.validation = validation
        self.levels = levels
        self.options = options
        self.training = training
        self.seed = seed

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Return the forecaster of a configuration."""
        options = {key: value for key, value in config.model.items() if key != "name"}
        return cls(
            config.model.get("name", "seq2seq"),
            **config.data.model_dump(),
            levels=config.levels,
            options=options or None,
            training=config.training.model_dump(exclude_defaults=True) or None,
            seed=config.seed,
        )

    def to_config(self) -> RunConfig:
        """Return the parameters as a validated configuration.

        Raises:
            ConfigError: a parameter has a value that is not allowed.
        """
        names = ("horizon", "context", "season", "freq", "time", "id", "target", "validation")
        return RunConfig.from_dict(
            {
                "model": {"name": self.model, **(self.options or {})},
                "data": {name: getattr(self, name) for name in names},
                "training": dict(self.training or {}),
                "levels": tuple(self.levels),
                "seed": self.seed,
            },
            source="Forecaster",
        )

    def fit(self, X: pd.DataFrame | Path | str, y: None = None, *, watch: Watch | None = None) -> Self:
        """Read the data, train, score on the validation part, then train on to the end of the data.

        The training on goes from the best weights, for half as many epochs as gave those.

        Args:
            X: frame or file (CSV, Parquet).
            y: ignored; the target is a column of the data.
            watch: shows the trainings.

        Raises:
            ConfigError: a parameter has a value that is not allowed.
            DataError: the data cannot be read as series, or are too short for the horizon.
        """
        panel, schema = load(X, self.to_config().data)
        return self.fit_panel(panel, schema, source=_name_of(X), watch=watch)

    def fit_panel(self, panel: Panel, schema: Schema, *, source: str = "the panel", watch: Watch | None = None) -> Self:
        """Like `fit`, of data that were read already; ``source`` is what errors call them."""
        config = self.to_config()
        entry, options = resolve_options(config.model, source="Forecaster")
        self.schema_ = schema
        self.spec_, steps = window_of(config, panel, schema, source)
        self.history_: History | None = None
        if isinstance(options, NetworkOptions):
            options = rules.resolve(options, self.spec_.season)
            fitting = Fitting(config, options, self.spec_, watch or (lambda title: nullcontext()))
            graph, history = fitting.train(panel.head(steps), "training", validate=(panel, steps))
            self.history_ = history
            self.scores_ = self._compare(graph.inference(), panel, steps)
            if config.training.refit:
                graph, _ = fitting.train(panel, "training to the end", graph=graph, epochs=-(-history.chosen // 2))
            self.model_ = graph.inference()
        else:
            self.spec_ = baseline_spec(panel, self.spec_)
            self.model_ = build_baseline(entry, self.spec_)
            self.scores_ = self._compare(self.model_, panel, steps)
        self.config_ = resolved(config, options.model_dump(), self.spec_, self.schema_, steps)
        # Enough to forecast from, and for a picture.
        self.panel_ = panel.tail(max(self.spec_.context, 4 * schema.season, 3 * schema.horizon))
        return self

    def _compare(self, model: keras.Model, panel: Panel, steps: int) -> pd.DataFrame:
        return compare(beside_baselines(self.model, Candidate(model, self.spec_), panel), panel, steps)

    def backtest(
        self,
        X: pd.DataFrame | Path | str,
        origins: int = 5,
        step: int | None = None,
        refit: Refit = "never",
        watch: Watch | None = None,
    ) -> Backtest:
        """Forecast what is known already, again and again from what was known before, beside the naive baselines.

        The last forecast begins a horizon before the end of each series, the others ``step`` steps before one another.
        This forecaster stays as it is; clones of it are fitted, and nothing after an origin is seen by them.

        Args:
            X: frame or file (CSV, Parquet).
            origins: how many times to forecast.
            step: steps between two origins; None for the horizon, or less where the series are short.
            refit: "never" fits once, before the first origin; "every" fits anew before every one.
            watch: shows the trainings.

        Returns:
            Forecasts and scores, see `tsattn.evaluation.backtest.Backtest`.

        Raises:
            ConfigError: a parameter has a value that is not allowed.
            DataError: the data cannot be read as series, or are too short for so many forecasts.
        """
        config = self.to_config().data
        panel, schema = load(X, config)
        return self.backtest_plan(
            plan_backtest(panel, schema, config, origins, step, _name_of(X)), refit=refit, watch=watch
        )

    def backtest_plan(self, plan: BacktestPlan, *, refit: Refit = "never", watch: Watch | None = None) -> Backtest:
        """Like `backtest`, of data that were read and cut already."""
        check_refit(refit)

        def fit(number: int) -> dict[str, Candidate]:
            panel = plan.training(number)
            which = f"origin {number + 1} of {len(plan)}"
            shown = watch if watch is None or refit == "never" else lambda title: watch(f"{which}, {title}")
            fitted = clone(self).fit_panel(panel, plan.schema, source=f"{plan.source} before {which}", watch=shown)
            return beside_baselines(self.model, Candidate(fitted.model_, fitted.spec_), panel)

        return run_backtest(plan, fit, refit=refit)

    def predict(self, X: pd.DataFrame | Path | str | None = None) -> pd.DataFrame:
        """Forecast what follows the data, or what follows the training data.

        Args:
            X: history in the form that was fitted; series, lengths and gaps may differ.

        Returns:
            A frame `unique_id`, `ds`, `y` and interval bounds such as `y-lo-80`, `y-hi-80`, `horizon` rows a series.

        Raises:
            DataError: the data do not have the form that was fitted.
        """
        check_is_fitted(self)
        panel = self.panel_ if X is None else load(X, schema=self.schema_)[0]
        series = np.arange(len(panel), dtype=np.int64)
        quantiles = predict_windows(self.model_, self.spec_, panel, series, panel.lengths)
        return forecast_frame(panel, quantiles, self.spec_.levels)

    def save(self, path: Path | str, *, overwrite: bool = False) -> None:
        """Write the run directory, whole or not at all; see `tsattn.run`.

        Raises:
            RunError: the directory is there already, or cannot be written.
        """
        from tsattn.run import write_run

        check_is_fitted(self)
        write_run(self, Path(path), overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a run directory.

        Raises:
            RunError: it is missing or incomplete.
        """
        from tsattn.run import read_run

        return read_run(cls, Path(path))

    def portable_model(self) -> keras.Model:
        """Return the inference model with nothing in it that is bound to a device."""
        check_is_fitted(self)
        entry, options = resolve_options(self.config_.model)
        if not isinstance(options, NetworkOptions):
            return self.model_
        twin = build_graph(entry, options, self.spec_, portable=True).inference()
        twin.set_weights(self.model_.get_weights())
        return twin


def _name_of(X: pd.DataFrame | Path | str) -> str:
    """Return what errors call the data."""
    return "the frame" if isinstance(X, pd.DataFrame) else str(X)

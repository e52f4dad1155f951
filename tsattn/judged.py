"""How good a forecaster is: on the past of data, on data behind its own, and in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import keras
from sklearn.utils.validation import check_is_fitted

from tsattn.config import RunConfig
from tsattn.continued import continued, read_series
from tsattn.data import Frame, Panel, Schema, load
from tsattn.data.place import name_of
from tsattn.evaluation.backtest import Backtest, Refit, Tell, check_refit, run_backtest
from tsattn.evaluation.choice import metric_of
from tsattn.evaluation.classical import check_classical
from tsattn.evaluation.compare import Candidate, beside_baselines, classical_baselines
from tsattn.evaluation.entrants import entrants, seen_before
from tsattn.evaluation.evaluate import Evaluation, run_evaluation
from tsattn.evaluation.folds import Folds
from tsattn.evaluation.origins import BacktestPlan, plan_backtest
from tsattn.evaluation.stretch import find_stretch
from tsattn.fitting import Watch
from tsattn.parameters import Parameters
from tsattn.window import WindowSpec

if TYPE_CHECKING:
    from tsattn.forecaster import Forecaster


class Judged(Parameters):
    """What a `tsattn.Forecaster` has to be held against data."""

    schema_: Schema
    config_: RunConfig
    spec_: WindowSpec
    model_: keras.Model
    panel_: Panel
    training_data_: dict[str, Any]

    def backtest(
        self,
        X: Frame | Path | str,
        folds: int = 5,
        step: int | None = None,
        refit: Refit = "never",
        *,
        models: Sequence[str] | str = (),
        baselines: Sequence[str] = (),
        out: Path | str | None = None,
        watch: Watch | None = None,
    ) -> Backtest:
        """Forecast what is known already, again and again from what was known before, beside the naive baselines.

        The last forecast begins a horizon before the end of each series, the others ``step`` steps before one another.
        This forecaster stays as it is; clones of it are fitted, and nothing after an origin is seen by them.

        Args:
            X: what `tsattn.data.load` reads: a frame or an array, a CSV or Parquet file, a folder or pattern.
            folds: how many times to forecast.
            step: steps between two origins; None for the horizon, or less where the series are short.
            refit: "never" fits once, before the first origin; "every" fits anew before every one.
            models: a model or several to compare, with everything else as it is here; none for this one alone.
            baselines: classical baselines beside the naive ones: "autoets", "autotheta", "autoarima". They need the
                extra `tsattn[baselines]`.
            out: folder for the forecasts of every fold, all of them and the scores, see `tsattn.evaluation.folds`.
                Where it has some of the same backtest, which was stopped or had other models, it goes on from there.
            watch: shows the trainings.

        Returns:
            Forecasts and scores, see `tsattn.evaluation.backtest.Backtest`.

        Raises:
            ConfigError: a parameter has a value that is not allowed.
            DataError: the data cannot be read as series, or are too short for so many forecasts.
            RunError: a package is missing; ``out`` has something else, or cannot be written.
        """
        config = self.to_config()
        panel, schema = read_series(X, config)
        plan = plan_backtest(panel, schema, continued(config).data, folds, step, name_of(X))
        kept = Folds() if out is None else Folds.open(Path(out), plan, config, refit)
        return self.backtest_plan(plan, refit=refit, models=models, baselines=baselines, folds=kept, watch=watch)

    def backtest_plan(
        self,
        plan: BacktestPlan,
        *,
        refit: Refit = "never",
        models: Sequence[str] | str = (),
        baselines: Sequence[str] = (),
        folds: Folds | None = None,
        watch: Watch | None = None,
        tell: Tell | None = None,
    ) -> Backtest:
        """Like `backtest`, of data that were read and cut already; ``tell`` hears of every fold of every model."""
        check_refit(refit)
        forecaster = cast("Forecaster", self)
        models = (models,) if isinstance(models, str) else models
        asked = entrants(forecaster, plan, models, baselines, watch, anew=refit == "every")
        names = tuple(dict.fromkeys(models)) or (asked[0].name,)
        result = run_backtest(plan, asked, names, refit=refit, folds=folds, tell=tell)
        told = seen_before(forecaster, plan)
        return replace(result, notes=(told, *result.notes)) if told else result

    def evaluate(
        self,
        X: Frame | Path | str,
        *,
        origins: int | None = None,
        step: int | None = None,
        last: int | None = None,
        baselines: Sequence[str] = (),
    ) -> Evaluation:
        """Hold this forecaster, as it was fitted, against data, beside the naive baselines.

        By default it forecasts what lies behind the data that it was trained on, a horizon after another; series that
        it was not trained on, from a look-back on. Data that begin behind the training data are forecast from the end
        of these.

        Args:
            X: data in the form that was fitted.
            origins: how many forecasts of each series, the newest ones; None for all.
            step: steps between two of them; None for the horizon.
            last: forecasts only the last steps of each series, whether they were trained on or not.
            baselines: classical baselines beside the naive ones, as those of `backtest`.

        Returns:
            Forecasts and scores, see `tsattn.evaluation.evaluate.Evaluation`; its ``notes`` tell of forecasts that lie
            in data that were trained on.

        Raises:
            ConfigError: a parameter has a value that is not allowed.
            DataError: the data do not have the form that was fitted, or are too short behind the training data.
            RunError: a package is missing.
        """
        check_is_fitted(self)
        check_classical(baselines)
        panel = load(X, schema=self.schema_, covariates=self._needs_covariates)[0]
        limits = {"origins": origins, "step": step, "last": last}
        stretch = find_stretch(
            panel, self.schema_, self.spec_, self.panel_, self.training_data_, **limits, source=name_of(X)
        )
        name = str(self.config_.model["name"])
        candidates = beside_baselines(name, Candidate(self.model_, self.spec_), stretch.panel)
        classical = classical_baselines(baselines, stretch.panel, self.spec_)
        return run_evaluation(stretch, name, {**candidates, **classical})

    def score(self, X: Frame | Path | str, y: None = None) -> float:
        """Return how good the forecasts of ``X`` are, as scikit-learn has it: the higher, the better.

        It is minus the MASE of `evaluate`, so that a search over parameters (``GridSearchCV``) with folds in time
        (``TimeSeriesSplit``) keeps the best forecaster; minus the MAE where no series has a MASE.

        Args:
            X: what follows the training data, in the form that was fitted; or such data as a whole. Without stamps, as
                in an array, nothing tells which of it is: then ``X`` alone is forecast, from a look-back on.
            y: ignored; the target is a column of the data.

        Raises:
            DataError: the data do not have the form that was fitted, or are too short behind the training data.
        """
        result = self.evaluate(X)
        errors = result.scores.set_index("model")[metric_of(result.scores)].astype(float)
        return -float(errors[result.model])

    @property
    def _needs_covariates(self) -> bool:
        """Whether data need all columns that are covariates: a baseline that was kept has no use for them."""
        return bool(self.spec_.past_covariates or self.spec_.static)

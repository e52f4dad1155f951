"""The forecaster: a scikit-learn estimator around reading, training, evaluation and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from tsattn.config import Combine, DataConfig, RunConfig, Support
from tsattn.data.loader import Frame, load
from tsattn.data.locations import name_of
from tsattn.data.prediction_inputs import Stamp
from tsattn.evaluation.backtest import Backtest, Refit, Tell, check_refit, entrants, run_backtest, seen_before
from tsattn.evaluation.evaluate import Evaluation, run_evaluation
from tsattn.evaluation.fold_store import Folds
from tsattn.evaluation.model_selection import fit
from tsattn.evaluation.origins import BacktestPlan, find_stretch, plan_backtest
from tsattn.export import Format
from tsattn.export.exporter import export
from tsattn.forecasting.artifact import read_run
from tsattn.forecasting.finetuning import continued, read_series
from tsattn.forecasting.fit import Watch
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.prediction import Question, predict, sample
from tsattn.run_directory import write_run
from tsattn.scoring.classical import check_classical
from tsattn.scoring.comparison import Candidate, beside_baselines, classical_baselines
from tsattn.scoring.model_choice import metric_of
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema


def _part(name: str) -> property:
    """Return a property that reads one part of the fitted state."""

    def read(self: Forecaster) -> Any:
        try:
            return getattr(self.fitted_, name)
        except AttributeError:
            raise AttributeError(f"{name}_ is there after fit") from None

    return property(read)


class Forecaster(BaseEstimator):
    """Forecasts time series: from a data frame or file to quantiles in original units.

    What is None is inferred from the data or chosen by rule, and can be read from `schema_` and `config_` after `fit`.

    Args:
        model: name of the architecture, see `tsattn.models.MODELS`, or one of your own, see
            `tsattn.models.register`. A model that is named is kept, whatever its scores.
            None trains seq2seq, and keeps a naive baseline instead where that network does not beat it, see
            `tsattn.evaluation.choice`; with ``options`` it is seq2seq in any case.
            "auto" compares several by a short backtest and keeps the best, a naive baseline included, see
            `tsattn.evaluation.auto`.
        horizon: steps to forecast.
        context: look-back, in steps.
        season: season length, in steps.
        freq: pandas frequency alias, or a whole number where stamps are integers.
        time: column of the time stamps.
        id: column that tells the series apart.
        target: column or columns to forecast.
        future_covariates: columns that are known over the horizon as well, such as a price or a forecast of the
            weather; rows without a target behind a series may hold them, or ``future`` of `predict`.
        past_covariates: columns that are known up to the forecast only.
        static_covariates: columns with one value a series. An empty list keeps those that the data leave no doubt of
            from being used, here and for ``future_covariates``.
        categories: covariates that are categories though they hold numbers; text is a category in any case.
        calendar: cycles of the calendar that are covariates, such as "day_of_week" (`tsattn.data.calendar.CYCLES`);
            "auto" for those that suit frequency and length of the data.
        holidays: country whose public holidays are a covariate, such as "DE", or a part of it as in "DE-BY".
        graph: CSV file of the graph between the targets, for a model that takes one, as `tsattn.data.read_adjacency`
            reads it: a matrix of weights or a list of edges. It is read by `fit` alone; the model keeps it.
        support: what values the targets can have: "real"; "positive", none below 0; or "count", 0, 1, 2, ... Forecasts
            and bounds are brought there, in every export as well.
        on_duplicate: what several rows with the same stamp become: "mean", "sum" or "last". None refuses them.
        resample: the same for the rows from one step to the next, where stamps lie between the steps of ``freq``.
            None takes the mean where most of them do, and refuses such stamps else.
        validation: last steps of each series kept to choose the number of epochs.
        levels: quantile levels; 0.5, the forecast, is among them.
        options: options of the architecture by name, see `tsattn models NAME`.
        training: options of the training by name, see `tsattn.config.TrainingConfig`.
        selection: what "auto" compares, and for how long, see `tsattn.config.SelectionConfig`.
        seed: seed of weights and batches. Fitting sets the random state of Keras, NumPy and Python with it.
        init: run directory whose weights the training starts from, instead of random ones, in smaller steps. Model,
            window and reading of the data are those of that run, and what is given beside it must say the same; free
            are ``training``, ``seed``, ``validation``, ``on_duplicate`` and ``resample``. Weights that no epoch makes
            better on the validation part stay as they are. See `tsattn.continued`.

    Attributes:
        fitted_: everything that `fit` found, see `tsattn.fitted.FittedForecaster`; the following are its parts.
        schema_: how the data were read.
        config_: the whole configuration, with nothing left open.
        spec_: the window that the model takes.
        model_: the Keras model from window to quantiles.
        history_: losses of the training, also where its network was not kept; None where nothing was trained.
        scores_: the model beside the naive baselines on the validation part, a row a model, best first: ``model``,
            ``mase``, ``skill`` and the other metrics of `tsattn.evaluation.metrics`.
        left_out_: sentences on what these metrics leave out, having no scale to divide by.
        calibration_: which levels were calibrated, on how many windows, see `tsattn.evaluation.calibration`.
        training_data_: number, steps and stamps of the series that it was fitted on, and a hash of them.
        choice_: what was kept and why, where no model was named, or "auto"; else None. The name is in
            `config_.model["name"]`.

    Example:
        >>> forecaster = Forecaster(horizon=24).fit(frame)
        >>> forecaster.predict()  # unique_id, ds, y, y-lo-80, y-hi-80
        >>> forecaster.save("runs/all")
        >>> Forecaster(init="runs/all").fit(a_new_series)
    """

    fitted_: FittedForecaster

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

    def fit(self, X: Frame | Path | str, y: None = None, *, watch: Watch | None = None) -> Self:
        """Read the data, train, score on the validation part, then train on to the end of the data.

        The training on goes from the best weights, for half as many epochs as gave those. Where a naive baseline is
        kept instead, there is none.

        Args:
            X: what `tsattn.data.load` reads: a frame or an array, a CSV or Parquet file, a folder or pattern.
            y: ignored; the target is a column of the data.
            watch: shows the trainings.

        Raises:
            ConfigError: a parameter has a value that is not allowed.
            DataError: the data cannot be read as series, or are too short for the horizon.
        """
        panel, schema = read_series(X, self.to_config())
        return self.fit_panel(panel, schema, source=name_of(X), watch=watch)

    def fit_panel(self, panel: Panel, schema: Schema, *, source: str = "the panel", watch: Watch | None = None) -> Self:
        """Like `fit`, of data that were read already; ``source`` is what errors call them."""
        self.fitted_ = fit(self.to_config(), panel, schema, source, watch)
        return self

    schema_ = _part("schema")
    config_ = _part("config")
    spec_ = _part("spec")
    model_ = _part("model")
    panel_ = _part("panel")
    history_ = _part("history")
    scores_ = _part("scores")
    left_out_ = _part("left_out")
    calibration_ = _part("calibration")
    training_data_ = _part("training_data")
    choice_ = _part("choice")

    def verdict(self) -> str:
        """Return one sentence on what was kept, or where the model was named, on it against the best naive baseline."""
        check_is_fitted(self)
        return self.fitted_.verdict()

    def predict(
        self,
        X: Frame | Path | str | None = None,
        future: Frame | Path | str | None = None,
        *,
        at: Stamp | None = None,
        horizon: int | None = None,
        roll: bool = False,
    ) -> pd.DataFrame:
        """Forecast what follows the data, or what follows the training data.

        Where covariates that are known ahead are missing over the horizon, their training means stand in, and a
        `DataWarning` says so.

        Args:
            X: history in the form that was fitted; series, lengths and gaps may differ.
            future: stamps, ids and the covariates that are known ahead, for the steps of the horizon.
            at: forecast as of this stamp, the last one that is seen: of what lies behind it only the covariates that
                are known ahead are used. A date alone is its midnight. Every forecast begins at the next step; a
                series without a value in the look-back up to then is left out, and a `DataWarning` says so.
            horizon: steps to forecast, where not all that it was fitted for.
            roll: allow a longer horizon than it was fitted for: the median forecast counts as history, and what
                follows is forecast from that, again and again. Covariates that are known ahead must be known that
                far. The quantiles behind the fitted horizon are those of a history that is taken for certain, and
                their intervals too narrow; a `DataWarning` says so.

        Returns:
            A frame `unique_id`, `ds`, `y` and interval bounds such as `y-lo-80`, `y-hi-80`, `horizon` rows a series.

        Raises:
            ConfigError: the horizon is longer than the fitted one, and ``roll`` does not allow it.
            DataError: the data do not have the form that was fitted, or ``at`` is no stamp of theirs.
        """
        check_is_fitted(self)
        return predict(self.fitted_, X, Question(future, at, horizon, roll))

    def sample(
        self,
        X: Frame | Path | str | None = None,
        future: Frame | Path | str | None = None,
        *,
        samples: int = 100,
        seed: int = 0,
        at: Stamp | None = None,
        horizon: int | None = None,
    ) -> pd.DataFrame:
        """Draw paths of what may follow, where the network forecasts a distribution (``model.head``).

        At each step they have the distribution of `predict`, calibrated and within the support. The steps of a path
        depend on each other as the errors on the validation part did, so that sums, peaks and other figures of several
        steps have a distribution as well. Series and targets are drawn independently.

        Args:
            X: as in `predict`, and so ``future``, ``at`` and ``horizon``, which is no longer than the fitted one.
            samples: paths of each series.
            seed: paths of the same seed are the same.

        Returns:
            A frame `unique_id`, `sample`, `ds`, `y`, `samples * horizon` rows a series.

        Raises:
            ConfigError: the model forecasts quantiles alone, or the horizon is longer than the fitted one.
            DataError: the data do not have the form that was fitted, or ``at`` is no stamp of theirs.

        Example:
            >>> paths = Forecaster(options={"head": "normal"}).fit(frame).sample()
            >>> paths.groupby(["unique_id", "sample"])["y"].sum().quantile([0.1, 0.9])
        """
        check_is_fitted(self)
        return sample(self.fitted_, X, Question(future, at, horizon), samples, seed)

    def save(self, path: Path | str, *, overwrite: bool = False) -> None:
        """Write the run directory, whole or not at all; see `tsattn.run`.

        Raises:
            RunError: the directory is there already, or cannot be written.
        """
        check_is_fitted(self)
        write_run(self.fitted_, Path(path), overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a run directory.

        Raises:
            RunError: it is missing or incomplete.
        """
        fitted = read_run(Path(path))
        forecaster = cls.from_config(fitted.config)
        forecaster.fitted_ = fitted
        return forecaster

    def export(
        self,
        path: Path | str,
        format: Format = "saved_model",
        *,
        name: str | None = None,
        batch: int | None = None,
        time: int | None = None,
    ) -> Path:
        """Write the next version of an exported model into a folder; see `tsattn.export.exporting.export`.

        Args:
            path: gets a folder ``1``, or one more than its highest number.
            format: "saved_model", "onnx", "openvino", "litert" or "keras".
            name: what the model is called; the name of ``path`` if left out.
            batch: rows of a request, for LiteRT alone, which has to know.
            time: steps of the arrays of a request; the same.

        Returns:
            The folder of the version.

        Raises:
            ConfigError: a shape is given where it is free, or is missing where it is not.
            RunError: it cannot be written, a package is missing, or it does not answer as this forecaster does.
        """
        check_is_fitted(self)
        folder = Path(path)
        return export(self.fitted_, folder, format, name=name or folder.absolute().name, batch=batch, time=time)

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
        config = self.to_config()
        models = (models,) if isinstance(models, str) else models
        asked = entrants(config, fit, plan, models, baselines, watch, anew=refit == "every")
        names = tuple(dict.fromkeys(models)) or (asked[0].name,)
        result = run_backtest(plan, asked, names, refit=refit, folds=folds, tell=tell)
        told = seen_before(config, plan)
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
        fitted = self.fitted_
        panel = load(X, schema=fitted.schema, covariates=fitted.needs_covariates)[0]
        limits = {"origins": origins, "step": step, "last": last}
        stretch = find_stretch(
            panel, fitted.schema, fitted.spec, fitted.panel, fitted.training_data, **limits, source=name_of(X)
        )
        candidates = beside_baselines(fitted.name, Candidate(fitted.model, fitted.spec), stretch.panel)
        classical = classical_baselines(baselines, stretch.panel, fitted.spec)
        return run_evaluation(stretch, fitted.name, {**candidates, **classical})

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

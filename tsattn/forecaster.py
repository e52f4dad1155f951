"""The scikit-learn estimator of this package."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import keras
import pandas as pd
from matplotlib.axes import Axes
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from tsattn._logging import log_progress
from tsattn._text import with_keyword_errors
from tsattn.config import Aggregation, DataConfig, Decimal, RunConfig, SelectionConfig, Support, TrainingConfig
from tsattn.data.loader import Frame, source_name
from tsattn.data.prediction_inputs import Cutoff
from tsattn.errors import ConfigError, DataWarning
from tsattn.evaluation.backtest import backtest
from tsattn.evaluation.model_selection import fit
from tsattn.evaluation.rolling_origin import Backtest, Evaluation, Refit, evaluate
from tsattn.explanation.explanation import Explanation, explain
from tsattn.export import Format
from tsattn.export.exporter import export
from tsattn.forecasting.fitted import FittedForecaster, read_run
from tsattn.forecasting.network_trainer import CallbackFactory
from tsattn.forecasting.prediction import PredictionRequest, predict, sample
from tsattn.forecasting.warm_start import read_series
from tsattn.models import all_models
from tsattn.report.plots import plot_forecast
from tsattn.run_directory import write_run
from tsattn.timeseries.frames import template_of, to_library


def _fitted_property(name: str) -> Any:
    """Return a property that reads a field of the fitted state."""

    def read(self: Forecaster) -> Any:
        if not hasattr(self, "fitted_"):
            raise AttributeError(f"{name}_ is available after fit")
        return getattr(self.fitted_, name)

    return property(read)


Callbacks = Sequence[keras.callbacks.Callback] | Callable[[str], Sequence[keras.callbacks.Callback]]
"""Keras callbacks, or a function from the title of a training to them."""


def _callback_factory(callbacks: Callbacks) -> CallbackFactory:
    """Return the callbacks as one callback per training."""

    def factory(title: str) -> AbstractContextManager[Any]:
        own = callbacks(title) if callable(callbacks) else callbacks
        return nullcontext(keras.callbacks.CallbackList(list(own)))

    return factory


def _document_data_options(cls: type[Forecaster]) -> type[Forecaster]:
    """Insert the descriptions of the data options into the docstring of the estimator."""
    entries = [
        textwrap.fill(f"{name}: {option.description}.", 112, initial_indent=" " * 8, subsequent_indent=" " * 12)
        for name, option in DataConfig.model_fields.items()
    ]
    cls.__doc__ = (cls.__doc__ or "").replace("        DATA_OPTIONS", "\n".join(entries))
    return cls


def _option_groups() -> dict[str, set[str]]:
    """Return the names of the options that a forecaster takes as dictionaries."""
    models = {name for entry in all_models().values() for name in entry.options.model_fields}
    return {
        "training": set(TrainingConfig.model_fields),
        "options": models,
        "selection": set(SelectionConfig.model_fields),
    }


@with_keyword_errors(_option_groups)
@_document_data_options
class Forecaster(BaseEstimator):
    """Forecast time series: from a data frame or file to quantiles in original units.

    Options that are None are inferred from the data or chosen by rule; `schema_` and `config_` hold the result.

    Args:
        model: Name of the architecture, see `tsattn.models.MODELS`, or of a model of your own, see
            `tsattn.models.register`. None trains seq2seq and combines it with the zero-shot forecast, weighted
            by their errors, see `tsattn.scoring.forecast_weights`; with ``options`` it is seq2seq alone, unless they
            contain ``zero_shot=True``. "auto" selects the best of several networks and the models without training by
            a short backtest, see `tsattn.evaluation.model_selection`.
        DATA_OPTIONS
        levels: Quantile levels; 0.5, the point forecast, must be one of them.
        options: Options of the architecture by name, see `tsattn models NAME`.
        training: Options of the training by name, see `tsattn.config.TrainingConfig`.
        selection: Options of the model "auto" by name, see `tsattn.config.SelectionConfig`.
        seed: Seed of weights and batches. `fit` sets the random state of Keras, NumPy and Python to it.
        init_from: Run directory to fine-tune: training starts from its weights, with a lower learning rate, and
            inherits its model, window and data format. Only ``training``, ``seed``, ``validation``, ``on_duplicate``
            and ``resample`` may differ. If no epoch improves the weights on the validation part, they stay unchanged.
            See `tsattn.forecasting.warm_start`.

    Attributes:
        fitted_: The result of `fit`, see `tsattn.FittedForecaster`. Its fields are attributes as well: `schema_`,
            `config_`, `spec_`, `model_`, `scores_` and so on.

    Example:
        >>> forecaster = Forecaster(horizon=24).fit(frame)
        >>> forecaster.predict()  # store, date, sales, sales-lo-80, sales-hi-80, with the names of the frame
        >>> forecaster.save("runs/all")
        >>> Forecaster(init_from="runs/all").fit(new_series)
    """

    fitted_: FittedForecaster
    _template: Any = None  # of the training data, for frames of the same library
    config_ = _fitted_property("config")
    schema_ = _fitted_property("schema")
    spec_ = _fitted_property("spec")
    model_ = _fitted_property("model")
    panel_ = _fitted_property("panel")
    training_data_ = _fitted_property("training_data")
    scores_ = _fitted_property("scores")
    notes_ = _fitted_property("notes")
    calibration_ = _fitted_property("calibration")
    history_ = _fitted_property("history")
    choice_ = _fitted_property("choice")

    def __init__(
        self,
        model: str | None = None,
        horizon: int | None = None,
        *,
        context: int | None = None,
        season: int | None = None,
        freq: str | None = None,
        time: str | None = None,
        time_format: str | None = None,
        id: str | None = None,
        target: str | Sequence[str] | None = None,
        future_covariates: str | Sequence[str] | None = None,
        past_covariates: str | Sequence[str] | None = None,
        static_covariates: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        calendar: str | Sequence[str] | None = None,
        holidays: str | None = None,
        graph: Path | str | None = None,
        support: Support | None = None,
        on_duplicate: Aggregation | None = None,
        resample: Aggregation | None = None,
        fill_missing: float | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        decimal: Decimal | None = None,
        no_header: bool = False,
        na: str | Sequence[str] | None = None,
        sheet: str | None = None,
        validation: int | None = None,
        levels: Sequence[float] = (0.1, 0.5, 0.9),
        options: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        selection: Mapping[str, Any] | None = None,
        seed: int = 0,
        init_from: Path | str | None = None,
    ) -> None:
        self.model = model
        self.horizon = horizon
        self.context = context
        self.season = season
        self.freq = freq
        self.time = time
        self.time_format = time_format
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
        self.fill_missing = fill_missing
        self.encoding = encoding
        self.delimiter = delimiter
        self.decimal = decimal
        self.no_header = no_header
        self.na = na
        self.sheet = sheet
        self.validation = validation
        self.levels = levels
        self.options = options
        self.training = training
        self.selection = selection
        self.seed = seed
        self.init_from = init_from

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Return an unfitted forecaster with the options of a configuration."""
        options = {key: value for key, value in config.model.items() if key != "name"}
        return cls(
            config.model.get("name"),
            **config.data.model_dump(),
            levels=config.levels,
            options=options or None,
            training=config.training.model_dump(exclude_defaults=True) or None,
            selection=None if config.selection is None else config.selection.model_dump(exclude_defaults=True),
            seed=config.seed,
            init_from=config.init_from,
        )

    def to_config(self) -> RunConfig:
        """Return the parameters as a validated configuration.

        Raises:
            ConfigError: A parameter has a value that is not allowed.
        """
        name = {} if self.model is None else {"name": self.model}
        return RunConfig.from_dict(
            {
                "model": {**name, **(self.options or {})},
                "data": {option: getattr(self, option) for option in DataConfig.model_fields},
                "training": dict(self.training or {}),
                "selection": None if self.selection is None else dict(self.selection),
                "levels": tuple(self.levels),
                "seed": self.seed,
                "init_from": self.init_from,
            },
            source="Forecaster",
        )

    def fit(
        self,
        X: Frame | Path | str,
        y: None = None,
        *,
        future: Frame | Path | str | None = None,
        callbacks: Callbacks = (),
        verbose: int = 0,
    ) -> Self:
        """Read the data, train a model, score it on the validation part, and train it further to the end of the data.

        The last training continues from the best weights, for half as many epochs. A naive baseline that replaces the
        network is not trained.

        Args:
            X: A frame or an array, a CSV or Parquet file, a folder or pattern; see `tsattn.data.load`.
            y: Ignored; the target is a column of the data.
            future: Timestamps, ids and future covariates after the end of the data, for the forecast that follows them.
            callbacks: Keras callbacks, such as `keras.callbacks.TensorBoard`, of every training; or a function that
                takes the title of a training ("training" on the data before the validation part, then "training to the
                end") and returns its callbacks.
            verbose: 1 writes a line per stage and epoch to standard error, 2 details as well, 0 nothing. The same
                records are those of the logger ``tsattn``.

        Raises:
            ConfigError: A parameter has a value that is not allowed.
            DataError: The data cannot be read as series, or are too short for the horizon.

        Warns:
            DataWarning: What a user should check about how the data were read.

        Example:
            >>> Forecaster().fit(frame, callbacks=lambda title: [keras.callbacks.TensorBoard(f"logs/{title}")])
        """
        config = self.to_config()
        with log_progress(verbose):
            panel, schema = read_series(X, config, future)
            schema.warn()
            fitted = fit(config, panel, schema, source_name(X), _callback_factory(callbacks))
        self.fitted_, self._template = fitted, template_of(X)
        return self

    def _like(self, frame: pd.DataFrame, X: object) -> pd.DataFrame:
        """Return a frame in the library of the data, or of the training data if they are None."""
        native: pd.DataFrame = to_library(frame, self._template if X is None else template_of(X))
        return native

    def summary(self) -> str:
        """Return one sentence on the selected model compared with the best naive baseline."""
        check_is_fitted(self)
        return self.fitted_.summary()

    def predict(
        self,
        X: Frame | Path | str | None = None,
        future: Frame | Path | str | None = None,
        *,
        cutoff: Cutoff | None = None,
        horizon: int | None = None,
        recursive: bool = False,
        levels: Sequence[float] | None = None,
    ) -> pd.DataFrame:
        """Forecast the steps that follow the data, by default the training data.

        Missing future covariates are replaced by their training means, with a `DataWarning`.

        Args:
            X: History in the format of the training data; series, lengths and gaps may differ.
            future: Timestamps, ids and future covariates of the forecast steps.
            cutoff: Last timestamp of the history; a date means its midnight. Of later data only future covariates are
                used. Every forecast starts at the next step. Series without a value in the context up to the cutoff are
                skipped, with a `DataWarning`.
            horizon: Steps to forecast; defaults to the horizon of the model.
            recursive: Allow a longer horizon than that of the model: the median forecast is appended to the history
                repeatedly. Future covariates are required for all steps. The intervals of later steps ignore the
                uncertainty of the appended values and are too narrow, see the `DataWarning`.
            levels: Quantile levels to return, among those of the model; all of them by default.

        Returns:
            A frame with the columns of id and time of the data, the median, named after the target, and bounds such as
            `sales-lo-80`, `sales-hi-80`; `horizon` rows per series. The columns are `unique_id`, `ds` and `y` where the
            data have no such column, or several targets. The frame is of polars or pyarrow if the data are.

        Raises:
            ConfigError: The horizon is longer than that of the model without ``recursive``, or the model was not fitted
                for a level.
            DataError: The data do not have the format of the training data, or do not contain ``cutoff``.
        """
        check_is_fitted(self)
        request = PredictionRequest(future, cutoff, horizon, recursive, levels)
        return self._like(predict(self.fitted_, X, request).frame, X)

    def plot(
        self,
        X: Frame | Path | str | None = None,
        future: Frame | Path | str | None = None,
        *,
        id: str | None = None,
        ax: Axes | None = None,
        cutoff: Cutoff | None = None,
    ) -> Axes:
        """Draw the forecast of one series after the end of its history; see `tsattn.plot_forecast`.

        Args:
            X: As in `predict`; so are ``future`` and ``cutoff``.
            id: The series; the first one by default.
            ax: Where to draw; by default a new figure of pyplot.
        """
        check_is_fitted(self)
        prediction = predict(self.fitted_, X, PredictionRequest(future, cutoff))
        return plot_forecast(prediction.frame, prediction.history, id=id, ax=ax, season=self.fitted_.spec.season)

    def sample(
        self,
        X: Frame | Path | str | None = None,
        future: Frame | Path | str | None = None,
        *,
        samples: int = 100,
        seed: int = 0,
        cutoff: Cutoff | None = None,
        horizon: int | None = None,
    ) -> pd.DataFrame:
        """Draw sample paths of the future, from a network that forecasts a distribution (``model.head``).

        Each step has the distribution of `predict`, calibrated and within the domain of the targets. The steps of a
        path are correlated as the errors on the validation part are, so that sums, maxima and other functions of
        several steps have a distribution as well. Series and targets are independent.

        Args:
            X: As in `predict`; so are ``future``, ``cutoff`` and ``horizon``, which cannot exceed that of the model.
            samples: Paths per series.
            seed: Seed of the paths.

        Returns:
            A frame as that of `predict`, with the column `sample`, and `samples * horizon` rows per series.

        Example:
            >>> paths = Forecaster(options={"head": "normal"}).fit(frame).sample()
            >>> paths.groupby(["unique_id", "sample"])["y"].sum().quantile([0.1, 0.9])
        """
        check_is_fitted(self)
        return self._like(sample(self.fitted_, X, PredictionRequest(future, cutoff, horizon), samples, seed), X)

    def explain(
        self,
        X: Frame | Path | str | None = None,
        future: Frame | Path | str | None = None,
        *,
        cutoff: Cutoff | None = None,
    ) -> Explanation:
        """Return what the forecasts of `predict` rest on.

        The weights of combined methods; the past steps that each step attends to, by head, with a check whether the
        forecast depends on them; what each covariate is worth, by permutation over the last windows of the data; the
        learned graph of a graph model.

        Args:
            X: As in `predict`; so are ``future`` and ``cutoff``. Covariates are permuted between windows at the end of
                the data; the training data are stored as far as forecasts need them, so other data give more windows.

        Raises:
            ConfigError: The model has nothing to explain, as a naive baseline.

        Example:
            >>> explanation = Forecaster().fit(frame).explain()
            >>> explanation.weights.pivot_table("weight", "method", "ds")
            >>> print(*explanation.summary())
            >>> explanation.write("explanation")  # CSV files and explanation.png
        """
        check_is_fitted(self)
        return explain(self.fitted_, X, PredictionRequest(future, cutoff))

    def save(self, path: Path | str, *, overwrite: bool = False) -> None:
        """Write the run directory, whole or not at all; see `tsattn.run_directory`.

        Its report notes future covariates that are missing, of which `predict` warns.

        Raises:
            RunError: The directory exists, or cannot be written.
        """
        check_is_fitted(self)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            write_run(self.fitted_, Path(path), overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str, *, verify: bool = True) -> Self:
        """Read a run directory.

        Args:
            path: The run directory.
            verify: Whether to check that no file was changed after it was written.

        Raises:
            RunError: It is missing, incomplete or changed.
        """
        fitted = read_run(Path(path), verify=verify)
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
        """Write the next version of an exported model into a folder and return its path; see `tsattn.export`.

        Args:
            path: Folder of versions; the new one has the next number, from ``1``.
            format: "saved_model", "onnx", "openvino", "litert" or "keras".
            name: Name of the model; defaults to the name of ``path``.
            batch: Rows of a request; required by LiteRT only, which has static shapes.
            time: Steps of the arrays of a request; required by LiteRT only.

        Raises:
            ConfigError: A static shape is given for another format, or is missing for LiteRT.
            RunError: It cannot be written, a package is missing, or its forecasts differ from those of this forecaster.
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
        overwrite: bool = False,
        callbacks: Callbacks = (),
        jobs: int = 1,
        verbose: int = 0,
    ) -> Backtest:
        """Forecast known data at several origins, each from the data before it, and compare with the naive baselines.

        The last origin is a horizon before the end of each series. This forecaster is not changed.

        Args:
            X: Data as in `fit`.
            folds: Number of origins.
            step: Steps between two origins; defaults to the horizon, or less for short series.
            refit: "never" fits once, before the first origin; "every" fits before every origin.
            models: Models to compare, with the other parameters of this forecaster; by default its own model.
            baselines: Additional classical baselines: "autoets", "autotheta", "autoarima". They require the extra
                `tsattn[baselines]`.
            out: Folder for the forecasts and scores, see `tsattn.evaluation.fold_store`. An interrupted backtest
                resumes there, and further models are added.
            overwrite: Replace another backtest in that folder.
            callbacks: As in `fit`; so is ``verbose``.
            jobs: Number of processes for the trainings, which have no callbacks then. As always with Python's
                multiprocessing, a script needs ``if __name__ == "__main__"``.

        Raises:
            ConfigError: Several jobs have callbacks, or models that a script registers.
            DataError: The data cannot be read as series, or are too short for this number of folds.
            RunError: A package is missing, or ``out`` has other contents or cannot be written.
        """
        if jobs > 1 and callbacks:
            raise ConfigError("several jobs train in other processes, where callbacks cannot be called")
        options: dict[str, Any] = {"models": models, "baselines": baselines, "out": out, "overwrite": overwrite}
        with log_progress(verbose):
            result = backtest(
                self.to_config(), X, folds, step, refit, callback=_callback_factory(callbacks), jobs=jobs, **options
            )
        return replace(result, forecasts=to_library(result.forecasts, template_of(X)))

    def evaluate(
        self,
        X: Frame | Path | str,
        *,
        origins: int | None = None,
        step: int | None = None,
        last_steps: int | None = None,
        baselines: Sequence[str] = (),
    ) -> Evaluation:
        """Forecast data with the fitted model and compare with the naive baselines, without training.

        By default the forecasts cover the data after the training data, one horizon after the other. Series that are
        not part of the training data are covered from a context on. Data that begin after the training data are
        forecast from the end of these.

        Args:
            X: Data in the format of the training data.
            origins: Maximum number of forecasts of each series, the newest ones.
            step: Steps between two origins; defaults to the horizon.
            last_steps: Cover only the last steps of each series, including training data.
            baselines: Additional classical baselines, as in `backtest`.

        Raises:
            DataError: The data do not have the format of the training data, or are too short after these.
        """
        check_is_fitted(self)
        result = evaluate(self.fitted_, X, origins=origins, step=step, last_steps=last_steps, baselines=baselines)
        return replace(result, forecasts=to_library(result.forecasts, template_of(X)))

    def score(self, X: Frame | Path | str, y: None = None) -> float:
        """Return minus the MASE of `evaluate`, or minus the MAE if no series has a MASE; higher is better.

        Args:
            X: Data that follow the training data, or include them. Without timestamps, as in an array, only ``X`` is
                forecast, from a context on.
            y: Ignored.
        """
        check_is_fitted(self)
        return evaluate(self.fitted_, X).score

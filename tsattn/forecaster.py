"""The forecaster: scikit-learn manners around data, model, training and export."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import keras
import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from tsattn.config import AUTO, Options
from tsattn.continued import continued, read_series
from tsattn.data import Frame, Panel, Schema
from tsattn.data.asof import Stamp
from tsattn.data.features import seen_categories
from tsattn.data.fingerprint import summary
from tsattn.data.place import name_of
from tsattn.evaluation.auto import select
from tsattn.evaluation.calibration import calibrate
from tsattn.evaluation.chosen import Chosen
from tsattn.evaluation.compare import (
    Candidate,
    baseline_spec,
    beside_baselines,
    choose_model,
    compare,
)
from tsattn.evaluation.verdict import verdict
from tsattn.export import Format
from tsattn.fitting import Fitting, Watch, check_support, resolved, start_fitting, window_sizes, window_spec
from tsattn.judged import Judged
from tsattn.models import BASELINES, get_model, resolve_options
from tsattn.models.graph import build_baseline, build_graph
from tsattn.models.options import NetworkOptions
from tsattn.models.registry import check_graph
from tsattn.prediction import Question, predict
from tsattn.sampling import sample
from tsattn.training.fit import History


class Forecaster(Judged):
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
        if self.model == AUTO:
            return self._fit_best(panel, schema, source, watch)
        given = continued(self.to_config())
        entry, options = resolve_options(given.model, source="Forecaster")
        if given.init is None:  # else the graph is among the weights that it starts from
            check_graph(entry, options, given.data.graph, source="Forecaster")
        config = given.model_copy(update={"model": {**given.model, "name": entry.name}})
        check_support(panel, config.data.support, source)
        context, steps = window_sizes(config, panel, schema, source)
        self.training_data_ = summary(panel)
        # A run that the training starts from knows the categories that it was trained on, and has no place for others.
        self.schema_ = schema if config.init else seen_categories(schema, panel, steps)
        self.spec_ = window_spec(self.schema_, config, context)
        self.history_: History | None = None
        self.choice_: Chosen | None = None
        if isinstance(options, NetworkOptions):
            fitting = start_fitting(config, options, self.spec_, panel, source, watch)
            options = fitting.options
            self._train(fitting, entry.name, panel, steps, named=bool(given.model), refit=config.training.refit)
        else:
            self._take_baseline(entry.name, panel, options)
            self._compare(entry.name, panel, steps)
            self.calibration_ = calibrate(self.model_, self.spec_, panel, steps)
        if self.choice_ is not None and self.choice_.kept != entry.name:
            config = config.model_copy(update={"model": {"name": self.choice_.kept}})
            options = resolve_options(config.model)[1]
        self.config_ = resolved(config, options.model_dump(), self.spec_, self.schema_, steps)
        # Enough to forecast from, and for a picture.
        self.panel_ = panel.tail(max(self.spec_.context, 4 * schema.season, 3 * schema.horizon))
        return self

    def _fit_best(self, panel: Panel, schema: Schema, source: str, watch: Watch | None) -> Self:
        """Compare several models, and become the best one fitted to all of the data."""
        selection = select(self, panel, schema, source, watch)
        best = clone(self).set_params(model=selection.kept, selection=None)
        if selection.kept in BASELINES:
            # What the networks were given means nothing to it.
            best.set_params(options=None, graph=None)
        best.fit_panel(panel, schema, source=source, watch=watch)
        for name, value in vars(best).items():
            if name.endswith("_"):
                setattr(self, name, value)
        self.choice_ = selection
        return self

    def _train(self, fitting: Fitting, name: str, panel: Panel, steps: int, *, named: bool, refit: bool) -> None:
        """Train the network of ``name``; where it is not ``named`` by the user, a baseline may take its place."""
        graph, history = fitting.train(panel.head(steps), "training", validate=(panel, steps))
        self.model_, self.history_ = graph.inference(), history
        self._compare(name, panel, steps)
        if not named:
            choice = self.choice_ = choose_model(self.scores_, name, panel, self.spec_, steps)
            if not choice.keeps_network:
                self._take_baseline(choice.kept, panel)
                self.calibration_ = calibrate(self.model_, self.spec_, panel, steps)
                return
        # Behind the scores, whose windows these are; a network that is trained on keeps its factors.
        self.calibration_ = calibrate(self.model_, self.spec_, panel, steps)
        if refit and history.chosen:
            graph, _ = fitting.train(panel, "training to the end", graph=graph, epochs=-(-history.chosen // 2))
            self.model_ = graph.inference()

    def _take_baseline(self, name: str, panel: Panel, options: Options | None = None) -> None:
        self.spec_ = baseline_spec(panel, self.spec_)
        self.model_ = build_baseline(get_model(name), self.spec_, options)

    def _compare(self, name: str, panel: Panel, steps: int) -> None:
        scored = compare(beside_baselines(name, Candidate(self.model_, self.spec_), panel), panel, steps)
        self.scores_, self.left_out_ = scored.total, scored.left_out

    def verdict(self) -> str:
        """Return one sentence on what was kept, or where the model was named, on it against the best naive baseline."""
        check_is_fitted(self)
        if self.choice_ is not None:
            return self.choice_.sentence()
        return verdict(self.scores_, self.config_.model["name"])

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
        return predict(self, X, Question(future, at, horizon, roll))

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
        return sample(self, X, Question(future, at, horizon), samples, seed)

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
        from tsattn.export.exporting import export

        check_is_fitted(self)
        folder = Path(path)
        return export(self, folder, format, name=name or folder.absolute().name, batch=batch, time=time)

    def portable_model(self) -> keras.Model:
        """Return the inference model with nothing in it that is bound to a device."""
        check_is_fitted(self)
        entry, options = resolve_options(self.config_.model)
        if not isinstance(options, NetworkOptions):
            return self.model_
        twin = build_graph(entry, options, self.spec_, portable=True).inference()
        twin.set_weights(self.model_.get_weights())
        return twin

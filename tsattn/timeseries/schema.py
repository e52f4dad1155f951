"""How a data set is read as time series: inferred once, written to the run directory, used again for prediction."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, ValidationError

from tsattn.config import Aggregation, BaseConfig, ReadOptions, Support
from tsattn.errors import DataError, DataWarning
from tsattn.timeseries.grid import Grid

Layout = Literal["long", "wide", "rows", "months", "columns"]


class InferredSetting(BaseConfig):
    """One setting of the schema, shown to the user for review.

    Args:
        field: Name of the setting, such as "time" or "season".
        value: Its value as text.
        given: Whether the user set it, rather than the data.
        reason: Why it has this value, one sentence.
    """

    field: str
    value: str
    given: bool
    reason: str


class ReadingNote(BaseConfig):
    """Something about how the data were read that a user should check.

    Args:
        message: What was read how, one sentence without a full stop.
        hints: Ways to read it otherwise; options are placeholders, as in `tsattn.errors.DataWarning`.
    """

    message: str
    hints: tuple[str, ...] = ()

    def to_warning(self) -> DataWarning:
        """Return the note as a warning, which can format its hints."""
        return DataWarning(self.message, *self.hints)


class Schema(BaseConfig):
    """How a file or frame is read as time series; fixed for a run.

    Args:
        layout: "long" (one row per series and timestamp), "wide" (one row per timestamp, one column per target: a
            single series of aligned channels), "rows" (one row per series with its values in the columns, as in the M4
            competition), "months" (one row per year and series, one column per month) or "columns" (one row per series,
            one column per timestamp).
        time: Columns that form the timestamp, in order: none (rows are steps), one, or calendar parts such as
            year and quarter.
        time_format: Format of the timestamps: "date" (ISO text or datetimes), a strptime format, "quarter" (1959Q1),
            "integer", "seconds" to "nanoseconds" since 1970, "parts" of the calendar, a date format followed by
            " and time" (a second column holds the time of day), or "step" (no timestamps).
        id: Columns that identify the series, none for wide data. Several are joined by "/".
        targets: Names of the channels to forecast.
        future_covariates: Columns that are known over the horizon.
        past_covariates: Columns that are known up to the forecast origin only.
        static_covariates: Columns with one value per series.
        categories: Categories of the categorical covariates in the training data, by column.
        covariate_ranges: Least and largest value of each future covariate with numbers in the training data.
        calendar: Cycles of the calendar that give future covariates; see `tsattn.timeseries.calendar`.
        holidays: Country, or part of it as in "DE-BY", whose public holidays are a future covariate.
        freq: pandas alias, or a whole-number step as text where timestamps are integers.
        origin: Position 0 of the grid: ISO text, or an integer.
        tz: Time zone of the timestamps; None if they have none.
        on_duplicate: How several rows with the same timestamp are aggregated; None raises an error.
        resample: How rows within a step are aggregated if timestamps lie between the steps; None raises an error.
        fill_missing: Value of the targets at steps without a row, up to the last row of the data; None for missing.
        nearest: Whether timestamps between two steps belong to the nearer one instead of the earlier one.
        season: Season length in steps; 1 without seasonality.
        horizon: Steps to forecast.
        support: Domain of the targets.
        read_options: Options of the user for how files are read.
        inferred_settings: Settings with the reasons for them.
        notes: What was left out, aggregated or read in one of several possible ways.
    """

    layout: Layout
    time: tuple[str, ...] = ()
    time_format: str = "step"
    id: tuple[str, ...] = ()
    targets: tuple[str, ...]
    future_covariates: tuple[str, ...] = ()
    past_covariates: tuple[str, ...] = ()
    static_covariates: tuple[str, ...] = ()
    categories: dict[str, tuple[str, ...]] = Field({})
    covariate_ranges: dict[str, tuple[float, float]] = Field({})
    calendar: tuple[str, ...] = ()
    holidays: str | None = None
    freq: str
    origin: str | int
    tz: str | None = None
    on_duplicate: Aggregation | None = None
    resample: Aggregation | None = None
    fill_missing: float | None = None
    nearest: bool = False
    season: int
    horizon: int
    support: Support = "real"
    read_options: ReadOptions = ReadOptions()
    inferred_settings: tuple[InferredSetting, ...] = ()
    notes: tuple[ReadingNote, ...] = ()

    def warn(self, stacklevel: int = 3) -> None:
        """Issue the notes as warnings, by default at the caller of the caller."""
        for note in self.notes:
            warnings.warn(note.to_warning(), stacklevel=stacklevel)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns of future and past covariates, in this order."""
        return (*self.future_covariates, *self.past_covariates)

    def drop_missing_covariates(self, columns: Iterable[str]) -> Self:
        """Return the schema without the covariates that are not among ``columns``."""
        present = set(columns)
        kinds = ("future_covariates", "past_covariates", "static_covariates")
        found = {kind: tuple(name for name in getattr(self, kind) if name in present) for kind in kinds}
        return self.model_copy(update=found)

    def feature_names(self, *columns: str) -> tuple[str, ...]:
        """Return the names of the features of covariate columns: one per number, one per category."""
        names: list[str] = []
        for column in columns:
            categories = self.categories.get(column)
            names += [column] if categories is None else [f"{column}={value}" for value in categories]
        return tuple(names)

    @property
    def grid(self) -> Grid:
        """The time grid of every series."""
        return Grid(self.freq, self.origin, self.tz)

    def to_json(self) -> str:
        """Return the schema as JSON."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "schema.json") -> Self:
        """Return the schema written by `to_json`.

        Raises:
            DataError: The text is not a schema; ``source`` names it in the message.
        """
        try:
            schema = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the text"
            raise DataError(f"{source}: expected a schema written by tsattn, but {where}: {first['msg']}") from None
        try:
            schema.grid.times(np.arange(2))
        except (ValueError, KeyError, OverflowError) as error:
            raise DataError(f"{source}: expected a schema written by tsattn, but freq, origin or tz: {error}") from None
        return schema

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read schema.json.

        Raises:
            DataError: The file does not exist or is not a schema.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError):
            raise DataError(f"{path}: expected a schema written by tsattn, but the file cannot be read") from None

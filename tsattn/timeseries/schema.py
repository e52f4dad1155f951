"""How one data set is read as series: decided once, written beside the model, used again at prediction."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError

from tsattn.config import Combine, Options
from tsattn.errors import DataError
from tsattn.timeseries.grid import Grid

Layout = Literal["long", "wide", "rows", "months"]


class Decision(Options):
    """One thing that was decided about the data, for people to check.

    Args:
        field: what was decided, such as "time" or "season".
        value: the decision as text.
        given: whether the user said so, rather than the data.
        reason: one sentence.
    """

    field: str
    value: str
    given: bool
    reason: str


class Schema(Options):
    """How a file or frame is read as series; fixed for a run.

    Args:
        layout: "long" (a row a series and stamp), "wide" (a row a stamp, a column a target: one series of
            several aligned channels), "rows" (a row a series, its values in the columns, as the M4
            competition has it) or "months" (a row a year and series, a column a month).
        time: columns that make the stamp, in order: none (rows are steps), one, or calendar parts such as
            year and quarter.
        time_format: how a stamp is read: "date" (ISO text or dates), a strptime format, "quarter" (1959Q1),
            "integer", "seconds" to "nanoseconds" since 1970, "parts" of the calendar, one of the forms of a date with
            " and time" behind it (a column with the time of the day), or "step" (no stamps).
        id: columns that tell series apart, none for wide data; several are joined by "/".
        targets: names of the channels to forecast.
        future_covariates: columns that are known over the horizon as well.
        past_covariates: columns that are known up to the forecast only.
        static_covariates: columns with one value a series.
        categories: values of the covariates that are no numbers, by column; those that the model was trained on.
        calendar: cycles of the calendar whose parts are features that are known ahead, see `tsattn.data.calendar`.
        holidays: country, or part of it as in "DE-BY", whose public holidays are a feature that is known ahead.
        freq: pandas alias, or a whole-number step as text where stamps are integers.
        origin: position 0 of the grid: ISO text, or an integer.
        tz: time zone of the stamps, None where they have none.
        on_duplicate: what several rows with the same stamp become; None refuses them.
        resample: what the rows within a step become, where stamps lie between the steps; None refuses such stamps.
        nearest: whether stamps between two steps belong to the nearer one instead of the earlier one.
        season: season length in steps; 1 where there is none.
        horizon: steps to forecast.
        decisions: what was decided, and why.
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
    calendar: tuple[str, ...] = ()
    holidays: str | None = None
    freq: str
    origin: str | int
    tz: str | None = None
    on_duplicate: Combine | None = None
    resample: Combine | None = None
    nearest: bool = False
    season: int
    horizon: int
    decisions: tuple[Decision, ...] = ()

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns that change beside the targets, those known ahead first."""
        return (*self.future_covariates, *self.past_covariates)

    def having(self, columns: Iterable[str]) -> Self:
        """Return the schema without the covariates that are none of some columns."""
        there = set(columns)
        kinds = ("future_covariates", "past_covariates", "static_covariates")
        kept = {kind: tuple(name for name in getattr(self, kind) if name in there) for kind in kinds}
        return self.model_copy(update=kept)

    def features_of(self, name: str) -> tuple[str, ...]:
        """Return the names of the features that a column makes: itself, or one for each category."""
        return tuple(f"{name}={value}" for value in self.categories[name]) if name in self.categories else (name,)

    @property
    def grid(self) -> Grid:
        """The time grid of every series."""
        return Grid(self.freq, self.origin, self.tz)

    def to_json(self) -> str:
        """Return the JSON text that `from_json` reads."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "schema.json") -> Self:
        """Undo `to_json`.

        Raises:
            DataError: the text is no schema; ``source`` names it in the message.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the text"
            raise DataError(f"{source}: expected a schema written by tsattn, but {where}: {first['msg']}") from None

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read schema.json.

        Raises:
            DataError: there is no such file, or it is no schema.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError):
            raise DataError(f"{path}: expected a schema written by tsattn, but it cannot be read") from None

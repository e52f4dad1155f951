"""Tables with the source of each row, and the values of their columns, each computed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsattn._text import did_you_mean, quote_list, quote_text
from tsattn.data import columns, timestamps
from tsattn.data.time_detection import TimeReading, check_calendar, detect_format
from tsattn.data.time_numbers import read_numbers
from tsattn.errors import DataError
from tsattn.timeseries.panel import WIDE_ID
from tsattn.timeseries.ragged import Doubles, Floats, Ints
from tsattn.timeseries.schema import InferredSetting, ReadingNote

FILE = "file"
"""Column with the name of the file of each row, where a table is read from several files."""

FRAME = "the frame"
"""Name of a DataFrame in messages."""

SeriesCodes = tuple[Ints, tuple[str, ...]]
"""Index of the series of each row, int64 [rows], and the ids of the series."""


@dataclass(frozen=True)
class FileRows:
    """The rows that a file contributes to a table.

    Args:
        path: The file; None for data in memory.
        count: Number of rows.
        lines: Line of the file of each row, int64 [rows]; None if it follows from the file.
        unit: Name of a line in messages.
    """

    path: Path | None
    count: int
    lines: Ints | None = field(default=None, compare=False)
    unit: str = "line"

    def place(self, row: int) -> str:
        """Return the name of a row, such as "line 3"."""
        if self.lines is not None:
            return f"{self.unit} {self.lines[row]}"
        return f"line {row + 2}" if self.path is None else _row_in_file(self.path, row)


@dataclass(frozen=True)
class Origin:
    """Where the rows of a table come from.

    Args:
        name: Name of the table in messages.
        unit: Name of a row in messages, which is followed by its index label. Rows of files are named by their position
            in the file, which is their index label.
        files: The files.
        encoding: Text encoding of the files.
        dialect: Format of the files, such as ``{"delimiter": ";", "decimal": ","}``; ``tsattn inspect --json`` has it.
        settings: How the files were read; they become settings of the schema.
        notes: What the reader left out or reinterpreted, such as a footer; they become notes of the schema.
        texts: Columns of numbers that are read as text, because their writing may matter, such as 007 and 1.10.
    """

    name: str = FRAME
    unit: str | None = "row"
    files: tuple[FileRows, ...] = ()
    encoding: str = "UTF-8"
    dialect: Mapping[str, str] = field(default_factory=dict, hash=False)
    settings: tuple[InferredSetting, ...] = ()
    notes: tuple[ReadingNote, ...] = ()
    texts: tuple[str, ...] = ()

    def row_name(self, label: Any) -> str:
        """Return the name of the row with an index label.

        It is the line of a CSV file as editors count them, with the header as line 1, or the row of a Parquet file.
        """
        if self.unit is not None:
            return f"{self.unit} {label}"
        row = int(label)
        for file in self.files:
            if row < file.count:
                place = file.place(row)
                return place if file.path is None or str(file.path) == self.name else f"{file.path}: {place}"
            row -= file.count
        return f"line {row + 2}"

    def error(self, message: str, hints: tuple[str, ...], names: Iterable[str], label: Any | None) -> DataError:
        """Return a DataError about columns and the row with an index label; see `Table.error`."""
        parts = [self.name, *([] if label is None else [self.row_name(label)])]
        column = "+".join(names)
        return DataError(": ".join([*parts, *([f"column '{column}'"] if column else []), message]), *hints)


def _row_in_file(path: Path, row: int) -> str:
    if not path.is_file() or path.suffix.lower() in (".gz", ".bz2", ".zst"):
        return f"line {row + 2}"
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return f"row {row + 1}"
        file.seek(0)
        return f"line {find_line(file, row)}"


def find_line(lines: Iterable[bytes], row: int) -> int:
    """Return the line (from 1) of a row (from 0) of a CSV file; empty lines are not rows."""
    filled = (number for number, line in enumerate(lines, start=1) if line.strip(b"\r\n"))
    return next(islice(filled, row + 1, None), row + 2)


class Column:
    """A column of a table, with its type and values computed once.

    Args:
        values: The cells.
        origin: Where they come from.
    """

    def __init__(self, values: pd.Series[Any], origin: Origin) -> None:
        self.values = values
        self.origin = origin
        self.name = str(values.name)

    def error(self, message: str, *hints: str, row: int | None = None) -> DataError:
        """Return a DataError about the column, with the name of a row where it is given."""
        return self.origin.error(message, hints, [self.name], None if row is None else self.values.index[row])

    @cached_property
    def kind(self) -> columns.Kind:
        """Type of the column."""
        return columns.kind_of(self.values)

    @cached_property
    def is_whole(self) -> bool:
        """Whether it holds only whole numbers and missing values."""
        return columns.is_whole(self.values)

    @cached_property
    def numeric_fraction(self) -> float:
        """Fraction of the non-empty cells of a text column that are numbers; 0 with identifiers such as 007."""
        return columns.numeric_fraction(self.values)

    @property
    def is_numeric_text(self) -> bool:
        """Whether at least half of the non-empty cells of a text column are numbers."""
        return self.numeric_fraction >= 0.5

    @property
    def is_padded(self) -> bool:
        """Whether a text column holds whole numbers with leading zeros, all of one width of two or three digits."""
        return self.kind == "text" and columns.is_padded(self.values)

    @cached_property
    def time_reading(self) -> TimeReading:
        """How the column reads as timestamps."""
        if self.kind == "date":
            return check_calendar(self.values, TimeReading("date"))
        return detect_format(self.values) if self.kind == "text" else read_numbers(self.values)

    @cached_property
    def numbers(self) -> Floats:
        """The cells as float32 [rows], NaN where empty.

        Raises:
            DataError: A cell is not a finite number.
        """
        return self.doubles.astype(np.float32)

    @property
    def doubles(self) -> Doubles:
        """The cells as float64 [rows], NaN where empty.

        Raises:
            DataError: A cell is not a finite number.
        """
        if self.kind not in ("number", "bool", "text"):
            raise self.error("expected numbers, got dates", "name other columns with {target}")
        values, invalid = columns.parse_numbers(self.values)
        if invalid.any():
            row = int(np.argmax(invalid))
            expected, hint = _describe_number(self.values.iloc[row])
            raise self.error(
                f"expected {expected}, got {quote_text(self.values.iloc[row])}",
                *([hint] if hint else []),
                "leave it out",
                "name it by {na} if it marks missing values",
                row=row,
            )
        return values

    @cached_property
    def labels(self) -> tuple[Ints, list[str]]:
        """Integer codes of the values, int64 [rows], -1 where empty, and the values as text."""
        return columns.encode(self.values)


def _describe_number(cell: Any) -> tuple[str, str]:
    """Return what was expected instead of a cell, and how to correct it; "" if a correction is not known."""
    try:
        value = abs(float(cell))
    except (TypeError, ValueError):
        return "a number", "write it as 1034.5"
    if np.isinf(value):
        return "a finite number", ""
    return f"a number up to {columns.MAX_VALUE:.2g}, the largest of float32", "divide the column by a constant"


class Table:
    """A DataFrame that knows where its rows come from and computes the values of each column once.

    Args:
        frame: Rows; its columns hold numbers, booleans, datetimes or text, and their names are strings.
        origin: Where the rows come from.
    """

    def __init__(self, frame: pd.DataFrame, origin: Origin | None = None) -> None:
        self.frame = frame
        self.origin = origin or Origin()
        self._columns: dict[str, Column] = {}
        self._timestamps: dict[tuple[tuple[str, ...], str], pd.Index] = {}
        self._series: dict[tuple[str, ...], SeriesCodes] = {}

    def __len__(self) -> int:
        return len(self.frame)

    def __contains__(self, name: str) -> bool:
        return name in self.frame.columns

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = Column(self.frame[name], self.origin)
        return self._columns[name]

    @property
    def name(self) -> str:
        """Name of the table in messages."""
        return self.origin.name

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.frame.columns)

    def with_frame(self, frame: pd.DataFrame) -> Table:
        """Return a table of the same origin with other rows or columns; index labels still name the rows."""
        return Table(frame, self.origin)

    def with_notes(self, *notes: ReadingNote) -> Table:
        """Return the table with further notes on how it was read."""
        return Table(self.frame, replace(self.origin, notes=(*self.origin.notes, *notes)))

    def with_numbers(self, ids: Sequence[str]) -> Table:
        """Return the table with numbers that were read as text as numbers, unless they are ids such as 007 and 1.10."""
        numeric = {}
        for name in self.origin.texts:
            if (
                name in self
                and name not in ids
                and self[name].numeric_fraction == 1
                and not self[name].time_reading.format
            ):
                values, invalid = columns.parse_numbers(self[name].values)
                if not invalid.any():
                    numeric[name] = pd.Series(values, index=self.frame.index)
        return self.with_frame(self.frame.assign(**numeric)) if numeric else self

    def row_name(self, row: int) -> str:
        """Return the name of a row, such as "line 3", for messages."""
        return self.origin.row_name(self.frame.index[row])

    def error(self, message: str, *hints: str, names: Iterable[str] = (), row: int | None = None) -> DataError:
        """Return a DataError about the table, with the names of columns and a row where they are given."""
        return self.origin.error(message, hints, names, None if row is None else self.frame.index[row])

    def find_columns(self, text: str, option: str) -> tuple[str, ...]:
        """Return the columns that an option names, separated by commas.

        Raises:
            DataError: A column does not exist.
        """
        names = (text,) if text in self else tuple(part.strip() for part in text.split(","))
        for name in names:
            if name not in self:
                columns = quote_list(self.columns)
                raise self.error(
                    f"there is no column '{name}'{did_you_mean(name, self.columns)}; the columns are {columns}",
                    f"correct {{{option}}}",
                )
        return names

    def timestamps(self, names: tuple[str, ...], time_format: str) -> pd.Index:
        """Return the timestamp of each row, see `tsattn.data.timestamps.parse`.

        Args:
            names: Columns that form the timestamp.
            time_format: Format of the timestamps.

        Raises:
            DataError: A timestamp is missing or does not have the format.
        """
        key = (names, time_format)
        if key not in self._timestamps:
            self._timestamps[key] = self._parse_timestamps(names, time_format)
        return self._timestamps[key]

    def _parse_timestamps(self, names: tuple[str, ...], time_format: str) -> pd.Index:
        joint = timestamps.is_joint(time_format)
        times, invalid = timestamps.parse(self.frame[list(names)] if joint else self.frame[names[0]], time_format)
        if not invalid.any():
            return times
        row = int(np.argmax(invalid))
        cell = " ".join(str(self.frame[name].iloc[row]) for name in names)
        empty = self.frame[list(names)].iloc[row].isna().any() or not cell.strip()
        got = "an empty cell" if empty else quote_text(cell)
        kinds = {"integer": "a whole number", "date": "a date such as 2020-12-31"}
        kind = kinds.get(time_format, f"a timestamp as {time_format}")
        where = "the other rows" if invalid.all() else self.row_name(int(np.argmin(invalid)))
        message = f"expected {kind} as in {where}, got {got}"
        hints = ["correct the timestamp", "remove the row"]
        if (count := int(invalid.sum())) > 1 and not empty:
            message += f"; {count} of {len(self)} rows have another form"
            hints = ["write all timestamps alike, such as 2020-12-31"]
        raise self.error(message, *hints, names=names, row=row)

    def series(self, id: tuple[str, ...]) -> SeriesCodes:
        """Return the index of the series of each row and the ids, which join the values of id columns by "/".

        Raises:
            DataError: An id is empty.
        """
        if id not in self._series:
            self._series[id] = self._encode_series(id)
        return self._series[id]

    def _encode_series(self, id: tuple[str, ...]) -> SeriesCodes:
        if not id:
            return np.zeros(len(self), dtype=np.int64), (WIDE_ID,)
        joint: Ints | None = None
        ids: list[str] = []
        for name in id:
            codes, values = columns.factorize(self.frame[name])
            empty = np.append([not str(value).strip() for value in values], True)
            if empty[:-1].any() or (codes < 0).any():
                row = int(np.argmax(empty[codes]))
                message = "expected the id of a series, got an empty cell"
                raise self.error(message, "write an id", "remove the row", names=[name], row=row)
            texts = [columns.to_label(value) for value in values]
            if joint is None:
                joint, ids = codes, texts
            else:
                codes, pairs = pd.factorize(joint.astype(np.int64) * len(values) + codes)
                joint = np.asarray(codes, dtype=np.int64)
                ids = [f"{ids[pair // len(values)]}/{texts[pair % len(values)]}" for pair in pairs]
        assert joint is not None
        return joint, tuple(ids)


@dataclass(frozen=True)
class Note:
    """Something about a file that the reader found, changed or left out.

    Args:
        field: Setting, such as "decimal" or "left out".
        value: Its value as text.
        reason: Why, one sentence without a full stop.
        is_warning: Whether a user should check it.
        hint: Way to change it; options are placeholders, as in `tsattn.errors.DataWarning`.
    """

    field: str
    value: str
    reason: str
    is_warning: bool = False
    hint: str = ""

    def to_setting(self) -> InferredSetting:
        """Return the note as a setting of the schema."""
        return InferredSetting(field=self.field, value=self.value, given=False, reason=self.reason)

    def to_reading_note(self, name: str) -> ReadingNote:
        """Return the note as a warning about the table of that name."""
        hints = (self.hint,) if self.hint else ()
        return ReadingNote(message=f"{name}: {self.field} {self.value}: {self.reason}", hints=hints)

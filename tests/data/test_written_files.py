"""A known panel, written in every combination of layout, dialect, locale and damage: it is read as it is, or refused.

``TSATTN_EXAMPLES=5000 pytest tests/data/test_written_files.py`` tries more examples.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import DataError

EXAMPLES = int(os.environ.get("TSATTN_EXAMPLES", "25"))

IDS = ["north", "south", "Zürich", "x-1", "a b"]


@dataclass(frozen=True)
class Form:
    """How a file is written."""

    layout: str
    delimiter: str
    decimal: str
    thousands: str
    date: str
    quoted: bool
    missing: str
    prefix: str
    suffix: str
    encoding: str
    newline: str


@st.composite
def forms(draw: st.DrawFn) -> Form:
    delimiter = draw(st.sampled_from([",", ";", "\t", "|", " "]))
    decimal = draw(st.sampled_from([".", ","]))
    quoted = delimiter == decimal or draw(st.booleans())
    other = "," if decimal == "." else "."
    thousands = draw(st.sampled_from(["", "", other, "'", "\u00a0"]))
    dates = ["%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%Y%m%d", "%d-%b-%Y", "%Y-%m-%dT%H:%M:%SZ"]
    return Form(
        layout=draw(st.sampled_from(["long", "wide", "columns"])),
        delimiter=delimiter,
        decimal=decimal,
        thousands=thousands,
        date=draw(st.sampled_from(dates)),
        quoted=quoted or thousands == delimiter or delimiter == " ",
        missing=draw(st.sampled_from(["", "-", "n/a", "NaN", "."])),
        prefix=draw(st.sampled_from(["", "", "$", "€ "])),
        suffix=draw(st.sampled_from(["", "", " kWh", "%"])),
        encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])),
        newline=draw(st.sampled_from(["\n", "\r\n"])),
    )


@st.composite
def panels(draw: st.DrawFn) -> pd.DataFrame:
    """Values [steps, series], with the timestamps as index."""
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True))
    steps = draw(st.integers(13, 30))
    scale = draw(st.sampled_from([1, 1000, 1_000_000]))
    decimals = draw(st.integers(0, 3))
    start = draw(st.dates(pd.Timestamp(1990, 1, 1).date(), pd.Timestamp(2040, 1, 1).date()))
    index = pd.date_range(start, periods=steps, freq=draw(st.sampled_from(["D", "MS", "W-MON"])))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = (random.normal(2, 1, (steps, len(ids))) * scale).round(decimals)
    frame = pd.DataFrame(values, index=index, columns=ids)
    if draw(st.booleans()):
        frame.iloc[draw(st.integers(1, steps - 2)), 0] = np.nan
    frame.attrs["decimals"] = decimals
    return frame


def write_number(value: float, decimals: int, form: Form) -> str:
    if np.isnan(value):
        return form.missing
    text = f"{abs(value):,.{decimals}f}".replace(",", "T").replace(".", form.decimal).replace("T", form.thousands)
    return f"{'-' if value < 0 else ''}{form.prefix}{text}{form.suffix}"


def write_rows(frame: pd.DataFrame, form: Form) -> list[list[str]]:
    decimals = frame.attrs["decimals"]
    times = [time.strftime(form.date) for time in frame.index]
    cells = [[write_number(value, decimals, form) for value in row] for row in frame.to_numpy()]
    ids = list(frame.columns)
    if form.layout == "long":
        rows = [[ids[j], times[i], cells[i][j]] for j in range(len(ids)) for i in range(len(times))]
        return [["unique_id", "ds", "y"], *rows]
    if form.layout == "wide":
        return [["date", *ids], *([times[i], *cells[i]] for i in range(len(times)))]
    return [["unique_id", *times], *([ids[j], *(cells[i][j] for i in range(len(times)))] for j in range(len(ids)))]


def write_line(cells: list[str], form: Form) -> str:
    quote = '"'
    wrapped = [f"{quote}{cell}{quote}" if form.quoted or form.delimiter in cell else cell for cell in cells]
    return form.delimiter.join(wrapped)


DAMAGES = ["none", "none", "preamble", "comment", "footer", "total", "blank rows", "header again", "trailing", "units"]
DAMAGES += ["cell too many", "cut", "no header", "bad cell"]


def damage(lines: list[str], kind: str, form: Form, width: int, random: np.random.Generator) -> list[str]:
    sign, middle = form.delimiter, int(random.integers(1, len(lines)))
    if kind == "preamble":
        return ["Report of all sites", "", *lines]
    if kind == "comment":
        return ["# written by hand", *lines]
    if kind == "footer":
        return [*lines, "", "Source: the office"]
    if kind == "total":
        return [*lines, sign.join(["Total", *["99"] * (width - 1)])]
    if kind == "blank rows":
        return [*lines, sign * (width - 1) if sign != " " else "", ""]
    if kind == "header again":
        return [*lines[:middle], lines[0], *lines[middle:]]
    if kind == "trailing":
        return [line + sign for line in lines]
    if kind == "units":
        return [
            lines[0],
            sign.join(["", *["kWh"] * (width - 1)]) if sign != " " else '""' + ' "kWh"' * (width - 1),
            *lines[1:],
        ]
    if kind == "cell too many":
        return [*lines[:middle], lines[middle] + sign + "7", *lines[middle + 1 :]]
    if kind == "cut":
        return [*lines[:-1], lines[-1][: len(lines[-1]) // 2]]
    if kind == "no header":
        return lines[1:]
    if kind == "bad cell":
        return [
            *lines[:middle],
            lines[middle][: -2 if form.quoted else -1] + "x" + ('"' if form.quoted else ""),
            *lines[middle + 1 :],
        ]
    return lines


CASES = {"frame": panels(), "form": forms(), "kind": st.sampled_from(DAMAGES), "seed": st.integers(0, 2**32)}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(**CASES)
def test_read_as_written_or_refused(frame: pd.DataFrame, form: Form, kind: str, seed: int, tmp_path: Path) -> None:
    check(frame, form, kind, seed, tmp_path)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(**CASES)
def test_more_files(frame: pd.DataFrame, form: Form, kind: str, seed: int, tmp_path: Path) -> None:
    check(frame, form, kind, seed, tmp_path)


def check(frame: pd.DataFrame, form: Form, kind: str, seed: int, tmp_path: Path) -> None:
    # Nobody writes thousandths of dollars with decimal commas between commas.
    assume(not (form.prefix == "$" and form.delimiter == form.decimal == "," and frame.attrs["decimals"] == 3))
    rows = write_rows(frame, form)
    lines = damage([write_line(row, form) for row in rows], kind, form, len(rows[0]), np.random.default_rng(seed))
    text = form.newline.join(lines) + form.newline
    try:
        content = text.encode(form.encoding)
    except UnicodeEncodeError:
        assume(False)
        raise
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    note(text[:400])
    try:
        panel, schema = load(path, DataConfig(freq=frame.index.freqstr))
    except DataError as error:
        note(str(error))
        assert str(error).startswith(str(path))
        return
    if any("if the point is a thousands sign" in note.message for note in schema.notes):
        # Points before three digits in all cells, which was reported with both readings.
        frame = frame / 1000 if form.thousands == "." else frame
    ids = [str(id) for id in frame.columns]
    for number, id in enumerate(ids):
        if form.layout == "wide" or len(ids) == 1:
            one, column = 0, panel.targets.index(id) if form.layout == "wide" else 0
        else:
            one, column = panel.ids.index(id), 0
        times = pd.DatetimeIndex(panel.times(one)).tz_localize(None)
        got = pd.Series(panel.series[one][:, column], index=times)
        expected = frame.iloc[:, number].dropna()
        if kind == "cut":
            # A line that is cut within a cell cannot be recognized.
            expected = expected.iloc[:-1]
            got = got[: expected.index[-1]]
        np.testing.assert_allclose(got.reindex(expected.index), expected, rtol=1e-6)
        assert got.drop(expected.index, errors="ignore").isna().all()
        if not expected.empty and kind not in ("cut", "total"):
            assert len(panel.targets) == (len(ids) if form.layout == "wide" else 1)
    assert schema.freq == frame.index.freqstr

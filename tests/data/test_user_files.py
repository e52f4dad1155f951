"""Files in forms that people have: read as their README says, or refused with the reason."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.loader import load
from tsattn.errors import DataError


@pytest.fixture
def folder(data_dir: Path) -> Path:
    if not (data_dir / "user_files").is_dir():
        pytest.skip("needs the folder user_files of the benchmark data")
    return data_dir / "user_files"


# Numbers, layout, header and lines around the table.

READ: dict[str, dict[str, Any]] = {
    "accounting.csv": {"freq": "MS", "start": "2016-01", "last": -2966, "first": 2775, "steps": 60},
    "b_dot_thousands_decimal_mix.csv": {
        "freq": "D",
        "start": "2022-01-01",
        "first": [99.76, 1500],
        "last": [79.14, 2123],
    },
    "b_letter_k.csv": {"freq": "D", "start": "2022-01-01", "first": [98750, 32.92], "last": [73000, 24.33]},
    "b_negative_trailing.csv": {"freq": "D", "start": "2022-01-01", "first": 8.84, "last": -26.52, "steps": 90},
    "b_semicolon_point_note.csv": {
        "freq": "D",
        "start": "2022-01-01",
        "first": 5.092,
        "last": 3.918,
        "targets": ("kg",),
    },
    "c_decimal_comma_quoted.csv": {"freq": "D", "start": "2022-01-01", "first": 12.3, "last": 9.8},
    "c_influx_annotated.csv": {"freq": "h", "start": "2023-01-01", "first": 97.14, "last": 120.22, "steps": 200},
    "c_thousands_minority.csv": {"freq": "D", "start": "2022-01-01", "first": [924, 7], "last": [935, 6]},
    "c_transposed_measures.csv": {
        "freq": "MS",
        "start": "2019-01",
        "first": 102.4,
        "ids": ("revenue", "cost", "margin"),
    },
    "c_years_as_columns.csv": {"start": 1990, "first": 10.16, "ids": ("Aland", "Bland", "Cland")},
    "d_trailing_spaces.csv": {"freq": "D", "start": "2022-01-01", "first": 98, "last": 82, "targets": ("sales",)},
    "dash_majority.csv": {"freq": "D", "start": "2022-01-01", "first": [50, 8], "missing": 75},
    "degree_units_cells.csv": {"freq": "h", "start": "2021-03-01", "first": 98.8, "last": 92.5, "steps": 720},
    "fred_dot_missing.csv": {"freq": "B", "start": "2023-01-02", "first": 4.02, "missing": 6},
    "german_thousands_dot.csv": {"freq": "D", "start": "2022-01-01", "first": 1011, "last": 839, "steps": 90},
    "hash_comments.csv": {"freq": "MS", "start": "1990-01", "first": 349.72, "last": 366.34, "steps": 120},
    "home_assistant.csv": {"freq": "5min", "start": "2024-02-01 06:00"},
    "jhu_wide_days.csv": {
        "freq": "D",
        "start": "2020-01-22",
        "first": 11,
        "ids": ("-", "North", "South"),
        "steps": 180,
    },
    "k_unit_comma_tab.csv": {"freq": "h", "start": "2021-03-01", "first": [104.2, 14.89], "last": [118.2, 16.89]},
    "months_as_columns_total.csv": {"freq": "MS", "start": "2010-01", "first": 498, "last": 464, "targets": ("y",)},
    "nbsp_thousands.csv": {"freq": "D", "start": "2022-01-01", "first": 1502.07, "last": 1207.68, "steps": 90},
    "repeated_header.csv": {"freq": "D", "start": "2022-01-01", "first": 97, "last": 81, "steps": 90},
    "sentinel_minus200.csv": {"freq": "h", "start": "2004-03-10 18:00", "first": [1.9, 1000, 15.4]},
    "total_row_label.csv": {"freq": "MS", "start": "2016-01", "first": 504, "last": 454, "steps": 48},
    "web_traffic.csv": {"freq": "D", "start": "2015-07-01", "first": 40, "ids": ("A_en", "B_de", "C_fr")},
    "whole_line_quoted.csv": {"freq": "D", "start": "2022-01-01", "first": 101, "last": 85, "steps": 90},
    "worldbank_preamble_years.csv": {"start": 1990, "first": 9.87, "steps": 62},
    "yfinance_multiheader.csv": {
        "freq": "B",
        "start": "2023-01-02",
        "first": [49.0048, 50.0048, 48.0048, 49.2048, 1e6],
    },
    "zillow_wide_months.csv": {
        "freq": "ME",
        "start": "2018-01-31",
        "first": 200322.65,
        "targets": ("y",),
        "steps": 144,
    },
}


@pytest.mark.parametrize("name", READ)
def test_values_of_files(name: str, folder: Path) -> None:
    expected = READ[name]
    panel, schema = load(folder / name)
    start = panel.times(0)[0]
    if isinstance(expected["start"], int):
        assert start == expected["start"] and schema.freq == "1"
    else:
        assert pd.Timestamp(start).tz_localize(None) == pd.Timestamp(expected["start"])
        assert schema.freq == expected["freq"]
    if "first" in expected:
        np.testing.assert_allclose(panel.values[0][: np.size(expected["first"])], expected["first"], rtol=1e-6)
    if "last" in expected:
        np.testing.assert_allclose(panel.values[-1][: np.size(expected["last"])], expected["last"], rtol=1e-6)
    assert len(panel.values) == expected.get("steps", len(panel.values))
    assert panel.ids == expected.get("ids", panel.ids)
    assert panel.targets == expected.get("targets", panel.targets)
    assert int(np.isnan(panel.values).sum()) == expected.get("missing", int(np.isnan(panel.values).sum()))


REFUSED = {
    "b_jsonl.json": ["JSON"],
    "google_trends.csv": ["line 39", "'<1'"],
    "headerless_us_dates.csv": ["line 1", "header", "no_header="],
    "b_merged_id_cells.csv": ["line 3", "'region'"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_refused(name: str, folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(folder / name)
    assert [part for part in REFUSED[name] if part not in str(caught.value)] == [], str(caught.value)


def test_a_file_without_a_header_is_read_if_asked(folder: Path) -> None:
    panel, schema = load(folder / "headerless_us_dates.csv", DataConfig(no_header=True))
    assert panel.times(0)[0] == pd.Timestamp("2022-01-01") and len(panel.values) == 90
    assert panel.values[[0, -1], 0] == pytest.approx([101.1, 82.9]) and schema.targets == ("column2",)


def test_every_value_of_a_file_with_thousands_signs(folder: Path) -> None:
    with (folder / "german_thousands_dot.csv").open() as file:
        cells = [row[1] for row in csv.reader(file, delimiter=";")][1:]
    expected = [float(cell.replace(".", "")) for cell in cells]
    np.testing.assert_array_equal(load(folder / "german_thousands_dot.csv")[0].values[:, 0], expected)


REPORTED = {
    "sentinel_minus200.csv": "outlier -200: 13 cells of column 'CO'",
    "total_row_label.csv": "line 50: after the table: 'Total,23980'",
    "months_as_columns_total.csv": "left out Total",
}


@pytest.mark.parametrize("name", REPORTED)
def test_warnings_of_files(name: str, folder: Path) -> None:
    assert any(REPORTED[name] in note.message for note in load(folder / name)[1].notes)

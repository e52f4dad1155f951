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
from tsattn.timeseries.frames import history_frame


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


# Timestamps, frequency, roles and series.

TIMES: dict[str, dict[str, Any]] = {
    "b_13_periods.csv": {"freq": "4W-SUN", "start": "2019-01-27", "steps": 52, "season": 13},
    "b_all_zero.csv": {"freq": "D", "start": "2022-01-01", "first": 0, "last": 0},
    "b_billing_dates.csv": {"freq": "MS", "start": "2017-01-01", "first": 383, "steps": 60, "missing": 0},
    "b_cumulative_reset.csv": {"freq": "D", "start": "2022-01-01", "first": 0, "steps": 400},
    "b_date_hour_range.csv": {"freq": "h", "start": "2021-03-01", "first": 100.1, "steps": 720, "ids": ("",)},
    "b_dayofyear.csv": {"freq": "D", "start": "2019-01-01", "end": "2021-06-18", "first": 11.29, "missing": 0},
    "b_iso_hhmm_int.csv": {"freq": "30min", "start": "2021-03-01", "end": "2021-03-30 23:30", "first": 99},
    "b_log_millis_comma.csv": {"freq": "10s", "start": "2024-02-01", "first": 20, "steps": 600, "missing": 0},
    "b_ragged_edge.csv": {"freq": "MS", "start": "2017-01", "end": "2022-07-01", "targets": ("gdp_now",)},
    "b_station_lat_lon.csv": {"freq": "D", "targets": ("tmax",), "static_covariates": ("lat", "lon", "elev")},
    "b_very_short.csv": {"freq": "MS", "start": "2024-01", "first": 10, "steps": 5},
    "bike_sharing_hour.csv": {
        "freq": "h",
        "start": "2011-01-01",
        "end": "2011-01-30 23:00",
        "targets": ("temp", "casual", "registered", "cnt"),
        "first": [0.38, 24, 97, 121],
    },
    "c_bls_m13.csv": {"freq": "MS", "start": "2015-01", "end": "2020-12-01", "first": 101, "ids": ("",), "missing": 0},
    "c_gmt_plus.csv": {"freq": "h", "start": "2022-12-31 23:00", "first": 97.8, "steps": 200},
    "c_leap_year_noleap.csv": {"freq": "D", "start": "2015-06-01", "missing": 1},
    "c_nordpool.csv": {"freq": "h", "start": "2018-03-01", "first": [38.14, 40.14], "steps": 720, "ids": ("",)},
    "c_true_false.csv": {"freq": "D", "targets": ("customers",), "first": 95},
    "d_annee_mois.csv": {"freq": "MS", "start": "2015-01", "first": 99, "targets": ("ventes",)},
    "d_dates_with_quarter_end.csv": {"freq": "QE", "start": "2010-03-31", "first": 105.8},
    "d_iso_in_fecha_int.csv": {"freq": "D", "start": "2022-01-01", "first": 101.8, "targets": ("Ventas",)},
    "d_jahr_monat.csv": {"freq": "MS", "start": "2015-01", "first": 99, "targets": ("Umsatz",)},
    "d_mdy_dash_2digit.csv": {"freq": "D", "start": "2022-01-01", "end": "2022-03-01", "first": 97.3},
    "d_year_first_slash_month.csv": {"freq": "MS", "start": "2015-01", "first": 100.5},
    "event_sensor.csv": {"freq": "5min", "start": "2024-02-01 06:00"},
    "excel_serial_days.csv": {"freq": "D", "start": "2022-01-01", "end": "2022-04-30", "first": 200},
    "excel_serial_hours.csv": {"freq": "h", "start": "2022-01-01", "end": "2022-01-20 23:00", "first": 200.5},
    "fiscal_years_text.csv": {"freq": "YS", "start": "2000-01-01", "end": "2011-01-01", "first": 1000},
    "german_2digit_year.csv": {"freq": "D", "start": "2022-01-01", "end": "2022-03-31", "first": 96},
    "german_months.csv": {"freq": "MS", "start": "2016-01", "end": "2020-12-01", "first": 508, "missing": 0},
    "hour_ending_24.csv": {"freq": "h", "start": "2021-03-01 01:00", "end": "2021-03-31", "first": 9882.55},
    "k_promo_ahead_gap.csv": {
        "freq": "D",
        "end": "2023-08-14",
        "targets": ("sales",),
        "future_covariates": ("promo",),
        "horizon": 14,
    },
    "k_record_id.csv": {"freq": "D", "targets": ("qty",), "ids": ("tea/east", "rice/east", "tea/west", "rice/west")},
    "k_yy_mm_dd_weekly.csv": {"freq": "W-MON", "start": "2019-01-07", "end": "2020-12-28", "first": 104},
    "quarter_text.csv": {"freq": "QS", "start": "2010-01-01", "end": "2019-10-01", "first": 98.7},
    "rossmann.csv": {"freq": "D", "targets": ("Sales", "Customers"), "ids": ("1", "2", "3")},
    "settlement_periods.csv": {"freq": "30min", "start": "2022-10-10", "steps": 1922, "missing": 0, "first": 25514},
    "template_zeros_ahead.csv": {"freq": "MS", "start": "2019-01", "first": 528, "steps": 60},
    "ten_second_jitter.csv": {"freq": "10s", "start": "2024-02-01 06:00", "first": 39.75, "missing": 0},
    "us_ampm.csv": {"freq": "h", "start": "2021-03-01", "end": "2021-03-30 23:00", "first": 98.8, "missing": 0},
    "walmart.csv": {"freq": "W-FRI", "targets": ("Weekly_Sales",), "start": "2010-02-05"},
    "weekday_prefix.csv": {"freq": "D", "start": "2022-01-01", "end": "2022-03-31", "first": 97},
    "whitespace_nino.csv": {"freq": "MS", "start": "1990-01"},
    "year_and_week.csv": {"freq": "W-MON", "start": "2018-12-31", "end": "2021-12-27", "first": 306, "missing": 0},
    "yearweek_iso.csv": {"freq": "W-MON", "start": "2018-12-31", "end": "2021-12-27", "first": 306, "missing": 0},
    "yyyymmddhh_int.csv": {"freq": "h", "start": "2021-03-01", "end": "2021-03-30 23:00", "first": 98.8},
    "yyyymmddhhmmss_int.csv": {"freq": "h", "start": "2021-03-01", "end": "2021-03-30 23:00", "first": 98.8},
}


@pytest.mark.parametrize("name", TIMES)
def test_timestamps_and_roles_of_files(name: str, folder: Path) -> None:
    expected = TIMES[name]
    panel, schema = load(folder / name)
    times = pd.DatetimeIndex(panel.times(0)).tz_localize(None)
    found = {
        "start": times[0],
        "end": times[-1],
        "steps": len(panel.values),
        "missing": int(np.isnan(panel.values).sum()),
        "ids": panel.ids,
    }
    for key, value in expected.items():
        if key in ("first", "last"):
            row = 0 if key == "first" else -1
            np.testing.assert_allclose(panel.values[row][: np.size(value)], value, rtol=1e-6)
        elif key in ("start", "end"):
            assert found[key] == pd.Timestamp(value), key
        else:
            assert found.get(key, getattr(schema, key, None)) == value, key


def test_the_day_of_25_hours_has_50_settlement_periods(folder: Path) -> None:
    panel, _ = load(folder / "settlement_periods.csv")
    times = pd.DatetimeIndex(panel.times(0))
    assert str(times.tz) == "Europe/London" and (times.tz_localize(None).normalize() == "2022-10-30").sum() == 50
    assert str(times[-1]) == "2022-11-18 23:30:00+00:00"


IN_DOUBT = {
    "b_clock_only.csv": ["line 2", "'Time'", "time of day"],
    "b_date_quarterhour_no.csv": ["01/03/2021", "2021-03-01", "2021-01-03", "time_format="],
    "b_dd_mon.csv": ["'Date'", "year", "'1-Jan'"],
    "b_mon_dd.csv": ["'Date'", "year", "'Jan-01'"],
    "b_semi_monthly.csv": ["2 dates in each month (1, 15)", "resample="],
    "excel_mixed_dates.csv": ["line 2", "'Date'", "2021-01-01 00:00:00"],
    "fiscal_445.csv": ["28 and 35 days", "4-4-5", "resample="],
    "weeks_holiday_shift.csv": ["line 9", "2021-02-23", "W-MON", "resample="],
    "year_number_month.csv": ["line 2", "'1-01'", "time_format="],
}


@pytest.mark.parametrize("name", IN_DOUBT)
def test_timestamps_in_doubt(name: str, folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(folder / name)
    assert [part for part in IN_DOUBT[name] if part not in str(caught.value)] == [], str(caught.value)


def test_the_format_decides(folder: Path) -> None:
    given = DataConfig(time_format="%d/%m/%Y", time="Date,Interval")
    panel, schema = load(folder / "b_date_quarterhour_no.csv", given)
    assert schema.freq == "15min" and str(panel.times(0)[-1]) == "2021-03-10 23:45:00"
    panel, schema = load(folder / "fiscal_445.csv", DataConfig(resample="sum", freq="MS"))
    assert schema.freq == "MS"


NOTED = {
    "b_business_hours.csv": ["from 16:00 to 09:00 and on Saturday, Sunday", "34 of 48 steps"],
    "b_ragged_edge.csv": ["'gdp_now' end before 'rate'"],
    "c_bls_m13.csv": ["6 rows with an annual mean", "line 14", "'M13'"],
    "discontinued_series.csv": ["series 'old' ends before the others", "2021-03-01", "2021-12-31"],
    "event_sensor.csv": ["1200 rows", "mean", "846 steps"],
    "excel_serial_days.csv": ["44562", "2022-01-01"],
    "excel_serial_hours.csv": ["2022-01-01"],
    "fiscal_years_text.csv": ["2000/01", "fiscal years"],
    "k_daily_weekly_mix.csv": ["'m2'", "'W-MON'", "'D'"],
    "k_promo_ahead_gap.csv": ["1 value is missing in 'promo'"],
    "k_yy_mm_dd_weekly.csv": ["19/01/07", "'%y/%m/%d'", "'%d/%m/%y'"],
    "no_row_means_zero.csv": ["66 %", "fill_missing="],
    "panel_odd_series.csv": ["'empty' has no value", "'one' has only one value"],
    "settlement_periods.csv": ["25 hours", "Europe/London"],
}


@pytest.mark.parametrize("name", NOTED)
def test_notes_on_files(name: str, folder: Path) -> None:
    text = "; ".join(str(note.to_warning()) for note in load(folder / name)[1].notes)
    assert [part for part in NOTED[name] if part not in text] == [], text


def test_no_row_means_zero_if_asked(folder: Path) -> None:
    path = folder / "no_row_means_zero.csv"
    known = pd.read_csv(path, parse_dates=["date"])
    panel, schema = load(path, DataConfig(fill_missing=0))
    end = known["date"].max()
    for number, id in enumerate(panel.ids):
        own = known[known["sku"] == id].set_index("date")["qty"]
        expected = own.reindex(pd.date_range(own.index[0], end), fill_value=0)
        np.testing.assert_array_equal(panel.series[number][:, 0], expected)
        assert panel.times(number)[-1] == end
    assert load(path, schema=schema)[0].num_observed == len(panel.values)


def test_counts_with_leading_zeros_are_numbers(folder: Path) -> None:
    panel, schema = load(folder / "d_zero_padded_counts.csv")
    assert schema.targets == ("sales", "returns") and panel.values[[0, -1]].tolist() == [[103, 3], [68, 3]]


def test_numbers_beyond_float32_are_exact(folder: Path) -> None:
    path = folder / "k_large_counter.csv"
    panel, _ = load(path)
    np.testing.assert_array_equal(history_frame(panel)["y"], pd.read_csv(path)["downloads_total"])

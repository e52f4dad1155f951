"""Lines around the table, headers of several rows, delimiters, and timestamps in the header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data import delimited
from tsattn.data.loader import load
from tsattn.errors import DataError

DAYS = [f"2022-01-{day:02d}" for day in range(1, 10)]
COMMA = "".join(f"{day},{i}.5\n" for i, day in enumerate(DAYS))
SEMICOLON = "".join(f"{day};{i},5\n" for i, day in enumerate(DAYS))
VALUES = np.arange(9) + 0.5

SURROUNDED: dict[str, tuple[str, str]] = {
    "lines before the header": ("Report of sales\n\nfor 2022, all shops, net\nds,y\n" + COMMA, "before the header"),
    "keys and values before the header": ("Station,Berlin\nHeight,45\nUnit,mm\nds,y\n" + COMMA, "before the header"),
    "keys and values, an empty line": ("Station;Berlin\nHeight;45 m\n\nds;y\n" + SEMICOLON, "before the header"),
    "as many words as columns before the header": (
        "Report sites\n\n" + '"ds" "y"\n' + COMMA.replace(",", " "),
        "before the header",
    ),
    "comments": ("# made by hand\n# 2022\nds,y\n" + COMMA + "# end\n", "comments"),
    "a comment as header": ("# made by hand\n#ds,y\n" + COMMA, "comments"),
    "a row of units": ("ds;y\n;°C\n" + SEMICOLON, "a row of units"),
    "a row of units in brackets": ("ds,y\n[date],[kWh]\n" + COMMA, "a row of units"),
    "a total": ("ds,y\n" + COMMA + "Total,40.5\n", "after the table"),
    "a total after empty rows, and a source": ("ds,y\n" + COMMA + ",\n,\nSumme,40.5\nSource: us\n", "after the table"),
    "the header again": ("ds,y\n" + COMMA[:60] + COMMA[60:].replace("\n", "\nds,y\n", 1), "the header again"),
    "whole lines in quotes": ('"ds,y"\n' + "".join(f'"{line}"\n' for line in COMMA.splitlines()), "each line"),
    "blanks": ("  ds   y \n" + COMMA.replace(",", "   "), "separated by blanks"),
    "row numbers without a name": (
        "ds y z\n" + "".join(f"{i + 1} {line} 3\n" for i, line in enumerate(COMMA.replace(",", " ").splitlines())),
        "row numbers",
    ),
    "notes that are longer than the table": (
        "".join(f"note {i} of the author\n" for i in range(15)) + "ds,y\n" + COMMA,
        "before the header",
    ),
    "several rows of names": ("Price,ABC\nTicker,ABC\nds,\n" + COMMA, "several rows of names"),
}


@pytest.mark.parametrize("case", SURROUNDED)
def test_the_table_is_found_and_the_rest_is_reported(case: str, tmp_path: Path) -> None:
    text, reported = SURROUNDED[case]
    (tmp_path / "a.csv").write_text(text)
    panel, schema = load(tmp_path / "a.csv")
    np.testing.assert_array_equal(panel.values[:, 0], VALUES)
    assert [str(time)[:10] for time in panel.times(0)] == DAYS
    assert any(reported in setting.reason for setting in schema.inferred_settings)


UNREPORTED = {
    "empty columns at the end": "ds,y,,\n" + COMMA.replace("\n", ",,\n"),
    "a delimiter at the end of rows only": "ds,y\n" + COMMA.replace("\n", ",\n"),
    "commas in the header of other delimiters": "ds\ty, kWh\n" + COMMA.replace(",", "\t"),
}


@pytest.mark.parametrize("case", UNREPORTED)
def test_delimiters_without_cells(case: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(UNREPORTED[case])
    panel, schema = load(tmp_path / "a.csv")
    np.testing.assert_array_equal(panel.values, VALUES[:, None])
    assert schema.freq == "D"


REFUSED = {
    "no header": (COMMA, ["line 1", "2022-01-01", "no_header="]),
    "no header, local dates": ("".join(f"{i + 13}/01/2022;{i},5\n" for i in range(9)), ["line 1", "13/01/2022"]),
    "a cell too many in all rows": ("ds,y\n" + COMMA.replace(".", ","), ["line 2", "expected 2 cells", "got 3"]),
    "decimal commas without quotes": ("y\n1,5\n2,7\n3,5\n", ["line 2", "expected 1 cells", "got 2"]),
    "a row that is cut": ("ds,y\n" + COMMA + "2022-01-10", ["line 11", "expected 2 cells", "got 1"]),
    "two delimiters": ("a;b|c\n" + "".join(f"{i};{i}|{i}\n" for i in range(9)), ["'a;b|c'", "delimiter="]),
    "JSON": ('[{"ds": "2022-01-01", "y": 1}]', ["JSON"]),
    "text in the date after the table": ("ds,y\n" + COMMA + "soon,5\n", ["line 11", "'soon'"]),
    "text in the date before the table": ("ds,y\nsoon,5\n" + COMMA, ["line 2", "'soon'"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    text, parts = REFUSED[case]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "a.csv")
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


def test_options_decide(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(COMMA)
    panel, schema = load(tmp_path / "a.csv", DataConfig(no_header=True))
    np.testing.assert_array_equal(panel.values[:, 0], VALUES)
    assert schema.time == ("column1",)
    np.testing.assert_array_equal(load(tmp_path / "a.csv", schema=schema)[0].values, panel.values)
    (tmp_path / "b.csv").write_text(REFUSED["two delimiters"][0])
    assert load(tmp_path / "b.csv", DataConfig(delimiter=";"))[0].targets == ("a",)
    assert load(tmp_path / "b.csv", DataConfig(delimiter="|"))[0].targets == ("c",)


def test_lines_are_named_as_editors_count_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("# note\n\nReport\nds,y\n" + COMMA.replace("4.5", "x"))
    with pytest.raises(DataError, match=r"a\.csv: line 9: column 'y': expected a number, got 'x'"):
        load(tmp_path / "a.csv")


def test_lines_after_the_sample_are_left_out_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 60)
    (tmp_path / "a.csv").write_text("ds,y\n" + COMMA + "\nSource: us\n")
    panel, schema = load(tmp_path / "a.csv")
    np.testing.assert_array_equal(panel.values[:, 0], VALUES)
    assert "'Source: us'" in schema.notes[0].message


def test_empty_lines_of_one_column_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("y\n1\n\n3\n4\n")
    panel, schema = load(tmp_path / "a.csv")
    assert panel.values[:, 0].tolist() == [1, 3, 4] and "empty lines" in schema.notes[0].message


MONTHS = [str(month) for month in pd.period_range("2019-01", periods=24, freq="M")]


def wide(header: list[str], *rows: list[Any], delimiter: str = ",") -> str:
    return "\n".join(delimiter.join(map(str, row)) for row in [header, *rows]) + "\n"


IN_HEADER: dict[str, tuple[str, tuple[str, ...], str, Any]] = {
    "months": (wide(["shop", *MONTHS], ["a", *range(24)], ["b", *range(24, 48)]), ("a", "b"), "MS", "2019-01-01"),
    "days": (
        wide(["shop", "type", *DAYS], ["a", "x", *range(9)], ["b", "y", *range(9, 18)]),
        ("a", "b"),
        "D",
        "2022-01-01",
    ),
    "years": (wide(["land", *range(1990, 2000)], ["a", *range(10)], ["b", *range(10, 20)]), ("a", "b"), "1", 1990),
    "years of the World Bank": (
        wide(
            ["Name", "Code", *(f"{y} [YR{y}]" for y in range(1990, 2000))],
            ["A", "a", *range(10)],
            ["B", "b", *range(10)],
        ),
        ("a", "b"),
        "1",
        1990,
    ),
    "numbered days of M5": (
        wide(["id", "item_id", *(f"d_{i}" for i in range(1, 13))], ["a_1", "a", *range(12)], ["b_1", "b", *range(12)]),
        ("a_1", "b_1"),
        "1",
        1,
    ),
    "Eurostat": (
        wide(
            ["unit,geo\\TIME_PERIOD", "2010 ", "2011 ", "2012 "],
            ["EUR,DE", 0, "1 p", 2],
            ["EUR,FR", 3, ":", 5],
            delimiter="\t",
        ),
        ("DE", "FR"),
        "1",
        2010,
    ),
    "months of years as rows": (
        wide(
            ["Month", 2019, 2020, 2021],
            *(
                [name, i, i + 12, i + 24]
                for i, name in enumerate(pd.date_range("2019", periods=12, freq="MS").strftime("%b"))
            ),
        ),
        ("all",),
        "MS",
        "2019-01-01",
    ),
}


@pytest.mark.parametrize("case", IN_HEADER)
def test_timestamps_in_the_header(case: str, tmp_path: Path) -> None:
    text, ids, freq, start = IN_HEADER[case]
    (tmp_path / "a.csv").write_text(text)
    panel, schema = load(tmp_path / "a.csv")
    assert len(panel.ids) == len(ids) and (len(ids) == 1 or panel.ids == ids)
    assert (schema.layout, schema.freq, schema.targets) == ("columns", freq, ("y",))
    assert panel.times(0)[0] == (start if isinstance(start, int) else pd.Timestamp(start))
    assert panel.values[:3, 0].tolist() == [0, 1, 2]
    again, _ = load(tmp_path / "a.csv", schema=schema)
    np.testing.assert_array_equal(again.values, panel.values)


@pytest.mark.parametrize(
    ("header", "freq", "delimiter"),
    [
        (["Year", *["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]], "MS", ","),
        (["Jahr", *["Jan", "Feb", "Mär", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"]], "MS", ";"),
        (["year", *range(1, 13)], "MS", ","),
        (["Year", "Q1", "Q2", "Q3", "Q4"], "QS", ","),
    ],
)
def test_parts_of_the_year_in_the_header(header: list[Any], freq: str, delimiter: str, tmp_path: Path) -> None:
    width = len(header) - 1
    rows = [[2010 + year, *range(width * year, width * (year + 1))] for year in range(4)]
    (tmp_path / "a.csv").write_text(wide(header, *rows, delimiter=delimiter), encoding="utf-8")
    panel, schema = load(tmp_path / "a.csv")
    assert (schema.layout, schema.freq) == ("months", freq) and panel.times(0)[0] == pd.Timestamp("2010-01-01")
    assert panel.values[:, 0].tolist() == list(range(4 * width))


@pytest.mark.parametrize("names", [[f"{hour:02d}:00" for hour in range(24)], [f"H{hour}" for hour in range(1, 25)]])
def test_hours_of_the_day_in_the_header(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        wide(["Date", *names], *([day, *range(24 * i, 24 * i + 24)] for i, day in enumerate(DAYS)))
    )
    panel, schema = load(tmp_path / "a.csv")
    assert (schema.layout, schema.freq) == ("columns", "h") and panel.times(0)[0] == pd.Timestamp("2022-01-01")
    assert panel.values[:, 0].tolist() == list(range(9 * 24))


def test_a_name_that_is_no_timestamp_between_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        wide(["s", *MONTHS[:3], "2019/4x", *MONTHS[4:7]], ["a", *range(7)], ["b", *range(7)])
    )
    with pytest.raises(DataError, match="got '2019/4x' between them"):
        load(tmp_path / "a.csv")


def test_totals_of_rows_and_columns_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        wide(["Region", *MONTHS[:4], "all"], ["A", 1, 2, 3, 4, 10], ["B", 5, 6, 7, 8, 26], ["Total", 6, 8, 10, 12, 36])
    )
    panel, schema = load(tmp_path / "a.csv")
    assert panel.ids == ("A", "B") and panel.values[:, 0].tolist() == list(range(1, 9))
    assert len(schema.notes) == 2 and "line 4" in schema.notes[1].message


def test_series_that_begin_later_or_end_earlier(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(wide(["s", *MONTHS[:4]], ["a", "", 1, 2, 3], ["b", 4, "", 5, ""]))
    panel, _ = load(tmp_path / "a.csv")
    assert panel.lengths.tolist() == [3, 3] and str(panel.times(0)[0])[:7] == "2019-02"
    np.testing.assert_array_equal(panel.series[1][:, 0], [4, np.nan, 5])


def test_names_that_are_no_timestamps_stay_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "ds,2019,2020,2021\n" + "".join(f"{day},{i},{i},{i}\n" for i, day in enumerate(DAYS))
    )
    assert load(tmp_path / "a.csv")[0].targets == ("2019", "2020", "2021")
    names = ["773869", "767541", "717447"]
    (tmp_path / "b.csv").write_text(wide(names, *([i + 0.5, i, i] for i in range(1, 10)), *([0.5, 0.25, 0.125],)))
    assert load(tmp_path / "b.csv")[0].targets == tuple(names)

"""Numbers as people write them: the decimal sign is found for the file as a whole, or asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsattn.config import DataConfig
from tsattn.data import delimited
from tsattn.data.loader import load
from tsattn.data.numbers import parse_number
from tsattn.errors import DataError, DataWarning

DAYS = [f"2022-01-{day:02d}" for day in range(1, 11)]


def written(path: Path, cells: list[str], delimiter: str = ";", name: str = "y") -> Path:
    rows = [f"{day}{delimiter}{cell}" for day, cell in zip(DAYS, cells, strict=True)]
    path.write_text("\n".join([f"ds{delimiter}{name}", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("1034.5", 1034.5, None),
        ("1,034.5", 1034.5, None),
        ("1.034,5", None, 1034.5),
        ("1,196", 1196.0, 1.196),
        ("1.196", 1.196, 1196.0),
        ("1\u202f502,07", None, 1502.07),
        ("1'234.50", 1234.5, None),
        ("1,23,456", 123456.0, None),
        ("12,34", None, 12.34),
        ("0,196", None, 0.196),
        ("8,58-", None, -8.58),
        ("($5.25)", -5.25, None),
        ("-€ 5", -5.0, -5.0),
        ("98.75K", 98750.0, None),
        ("1,2 Mio", None, None),
        ("12.5 %", 12.5, None),
        ("5 °C", 5.0, 5.0),
        ("1e-3", 0.001, 0.001),
        ("01.02.2022", None, None),
    ],
)
def test_one_cell(text: str, point: float | None, comma: float | None) -> None:
    number = parse_number(text)
    got = (None, None) if number is None else (number.value("."), number.value(","))
    assert got == (point, comma)


@pytest.mark.parametrize(
    "text", ["", "x", "1-Jan", "2010Q1", "5 PM", "1/2", "00 - 01", "1A", "10:30", "2.5 short", "1_000"]
)
def test_what_is_no_number(text: str) -> None:
    assert parse_number(text) is None


READ: dict[str, tuple[list[str], str, list[float]]] = {
    "decimal commas": (["1,5", "2,25", *["3"] * 8], ";", [1.5, 2.25, *[3.0] * 8]),
    "points in groups of three, and a comma": (["1.500", "2.250,5", *["3"] * 8], ";", [1500, 2250.5, *[3.0] * 8]),
    "points in groups of three that end in 0": (["1.500", "912", *["3"] * 8], ";", [1500, 912, *[3.0] * 8]),
    "three decimals in every cell": ([f"5.{i}92" for i in range(10)], ",", [5 + i / 10 + 0.092 for i in range(10)]),
    "three decimals, and larger numbers": (["1.196", "2345", *["3"] * 8], ",", [1.196, 2345, *[3.0] * 8]),
    "quoted groups": (['"1,046"', '"1,230"', *["915"] * 8], ",", [1046, 1230, *[915.0] * 8]),
    "amounts without decimals": (['"$1,046"', *['"$9,210"'] * 9], ",", [1046, *[9210.0] * 9]),
    "units": (["2,126 kWh", "735 kWh", "-1,320 kWh", *["31,250 kWh"] * 7], ";", [2126, 735, -1320, *[31250.0] * 7]),
    "larger numbers with a unit": (["2,126 kWh", "73500 kWh", *["1,5 kWh"] * 8], ";", [2.126, 73500, *[1.5] * 8]),
    "exponents": (["1.196e3", *["2.300e3"] * 9], ";", [1196, *[2300.0] * 9]),
    "amounts": (['"$1,046"', '"($912)"', *["$3"] * 8], ",", [1046, -912, *[3.0] * 8]),
    "missing values": (["-", "n/a", "5", "unavailable", *["7"] * 6], ",", [np.nan, np.nan, 5, np.nan, *[7.0] * 6]),
    "per cent": (["5 %", "6,5 %", *["7 %"] * 8], ";", [5, 6.5, *[7.0] * 8]),
    "flags": (["5.5 p", "6 e", *["7"] * 8], ",", [5.5, 6, *[7.0] * 8]),
}


@pytest.mark.parametrize("case", READ)
def test_numbers_of_a_file(case: str, tmp_path: Path) -> None:
    cells, delimiter, expected = READ[case]
    panel, _ = load(written(tmp_path / "a.csv", cells, delimiter), DataConfig(freq="D"))
    observed = ~np.isnan(expected)
    times = [str(time)[:10] for time in panel.times(0)]
    got = np.full(10, np.nan)
    got[[DAYS.index(time) for time in times]] = panel.values[:, 0]
    np.testing.assert_allclose(got[observed], np.array(expected)[observed], rtol=1e-6)
    assert np.isnan(got[~observed]).all()


@pytest.mark.parametrize(
    ("cells", "delimiter"),
    [
        (["1.196", "912", *["3"] * 8], ";"),
        (["1.196", "912", *["3"] * 8], ","),
        (["1.196 kWh", "912 kWh", *["325 kWh"] * 8], ";"),
        (["1.196 kWh", "912 kWh", *["325 kWh"] * 8], ";"),
        ([f"1,{i}96 %" for i in range(10)], ";"),
        ([f'"1.{i}96"' for i in range(10)], ";"),
        ([f"€ 1,{i}96" for i in range(10)], ";"),
        (["12.196", "9876", *["23.123"] * 8], ";"),
        (["1.196", "1,250", *["1.196"] * 8], ";"),
        (['"1,196"', "912", *["3"] * 8], ","),
        ([f'"1,{i}96"' for i in range(10)], ","),
    ],
)
def test_two_readings_are_refused_with_both_and_an_option_decides(
    cells: list[str], delimiter: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.csv", cells, delimiter)
    example = cells[0].strip('"')
    with pytest.raises(DataError, match=rf"a\.csv: line 2: column 'y': .*'{example}', which is 1") as caught:
        load(path)
    assert "decimal=" in str(caught.value) and str(parse_number(example).value(".")).removesuffix(".0") in str(
        caught.value
    )
    for sign in ".,":
        number = parse_number(example)
        assert number is not None
        panel, schema = load(path, DataConfig(decimal=sign))
        assert panel.values[0, 0] == pytest.approx(number.value(sign))
        assert load(path, schema=schema)[0].values[0, 0] == panel.values[0, 0], "new data, by the same option"


def test_points_before_three_digits_in_every_cell_are_a_warning(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", [f"5.{i}92" for i in range(10)])
    panel, schema = load(path)
    assert panel.values[0, 0] == pytest.approx(5.092)
    assert "'5.092' in column 'y' is 5.092; it is 5092 if the point is a thousands sign" in schema.notes[0].message
    assert not load(path, DataConfig(decimal="."))[1].notes
    local = path.read_text().replace("2022-01-", "").replace(";", ".01.2022;").replace("ds.01.2022", "ds")
    path.write_text(local)
    with pytest.raises(DataError, match=r"line 2: column 'y'.*'5\.092'.*5092"):
        load(path)


def test_decimal_signs_after_the_first_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 60)
    for cell in ("1.126 kWh", "1,126 kWh", "1,5 kWh"):
        with pytest.raises(DataError, match="decimal="):
            load(written(tmp_path / "a.csv", [*["735 kWh"] * 8, cell, cell]))


@pytest.mark.parametrize(("cells", "refused"), [(["2.126", "735", "-325", "1.877"], True), (["2.126", "1.877"], False)])
def test_rows_of_timestamps_are_one_column_of_evidence(cells: list[str], refused: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(";".join(["id", *DAYS]) + "\n" + ";".join(["a", *(cells * 5)[:10]]))
    if refused:
        with pytest.raises(DataError, match=r"line 2: column '2022-01-01'.*'2\.126'.*2126"):
            load(path)
    else:
        assert "thousands sign" in load(path)[1].notes[0].message


def test_columns_with_different_decimal_signs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ds;a;b\n" + "".join(f"{day};1,5;2.25\n" for day in DAYS))
    with pytest.raises(DataError, match=r"a\.csv: .*'2\.25' \(line 2, column 'b'\) and '1,5' \(line 2, column 'a'\)"):
        load(tmp_path / "a.csv")


def test_a_wrong_cell_is_named_among_numbers_with_commas(tmp_path: Path) -> None:
    cells = ["1,5", "2.250,5", "bad", *["3"] * 7]
    with pytest.raises(DataError, match=r"line 4: column 'y': expected a number, got 'bad'.*na="):
        load(written(tmp_path / "a.csv", cells))
    assert load(written(tmp_path / "a.csv", cells), DataConfig(na=("bad",)))[0].values[1, 0] == 2250.5


def test_marks_of_the_user(tmp_path: Path) -> None:
    cells = ["5", "-200", "closed", *["7"] * 7]
    panel, schema = load(written(tmp_path / "a.csv", cells), DataConfig(na=("-200", "closed")))
    np.testing.assert_array_equal(panel.values[:, 0], [5, np.nan, np.nan, *[7.0] * 7])
    assert load(written(tmp_path / "a.csv", cells), schema=schema)[0].values[0, 0] == 5


def test_what_was_changed_is_reported(tmp_path: Path) -> None:
    cells = ["1.500,5 €", "-", *["3 €"] * 8]
    schema = load(written(tmp_path / "a.csv", cells))[1]
    found = {setting.field: (setting.value, setting.reason) for setting in schema.inferred_settings}
    assert found["decimal"][0] == "," and "1500.5" in found["decimal"][1]
    assert found["thousands"][0] == "." and found["unit"][0] == "€"
    assert found["missing"][0] == "'-'" and found["missing"][1].startswith("1 cells of column 'y'")


@pytest.mark.parametrize(
    ("value", "warned"), [("-200", True), ("-99", True), ("-9999", True), ("9999", True), ("8", False)]
)
def test_a_number_that_may_mark_missing_values_is_a_warning(value: str, warned: bool, tmp_path: Path) -> None:
    cells = [*["1", "2", "3", "4", "5", "6"], *[value] * 4]
    schema = load(written(tmp_path / "a.csv", cells))[1]
    notes: list[Any] = [note for note in schema.notes if "outlier" in note.message]
    assert bool(notes) == warned
    if warned:
        assert f"outlier {value}: 4 cells of column 'y'" in notes[0].message and "{na}" in notes[0].hints[0]
        with pytest.warns(DataWarning, match="outlier"):
            load(tmp_path / "a.csv", schema=schema)


def test_units_that_differ_are_an_error(tmp_path: Path) -> None:
    cells = [*["5 °C"] * 8, "41 °F", "6 °C"]
    with pytest.raises(
        DataError, match=r"line 10: column 'y': expected numbers with the unit '°C' as in other rows, got '41 °F'"
    ):
        load(written(tmp_path / "a.csv", cells))


def test_text_with_few_numbers_stays_text(tmp_path: Path) -> None:
    rows = [f"{day};{i};{note}" for i, (day, note) in enumerate(zip(DAYS, ["2,5 short", "x", *[""] * 8], strict=True))]
    (tmp_path / "a.csv").write_text("\n".join(["ds;y;note", *rows]))
    panel, schema = load(tmp_path / "a.csv")
    assert schema.targets == ("y",) and panel.values[:, 0].tolist() == list(range(10))


def test_groups_of_three_after_the_sample_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.csv", [*["912"] * 8, "1.196", "950"], ",")
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 60)
    with pytest.raises(DataError, match=r"line 10: column 'y': .*got 1\.196 after whole numbers, which is 1196"):
        load(path)
    assert load(path, DataConfig(decimal="."))[0].values[8, 0] == pytest.approx(1.196)


def test_decimal_points_do_not_pass_where_commas_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "ds;y\n" + "".join(f"2022-01-{day:02d};{day}{',.'[day == 9]}5\n" for day in range(1, 15))
    )
    with pytest.raises(DataError, match=r"line 10: column 'y': expected decimal commas as in other rows, got '9\.5'"):
        load(tmp_path / "a.csv", DataConfig(decimal=","))

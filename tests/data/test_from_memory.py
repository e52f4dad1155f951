"""Tables in memory, and unusual text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data.files import read_bytes, read_file
from tsattn.data.loader import load
from tsattn.errors import DataError


def test_a_table_in_memory_is_that_of_a_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=3), "id": ["ä", "ä", "ä"], "y": [1, 2, 3.5]})
    frame.to_parquet(tmp_path / "a.parquet")
    for name, text in (("utf-8", None), ("utf-16", None), ("cp1252", None), ("a.parquet", "parquet")):
        if text is None:
            (tmp_path / name).write_text(frame.to_csv(index=False), encoding=name)
        from_memory = read_bytes((tmp_path / name).read_bytes(), "it")
        pd.testing.assert_frame_equal(from_memory.frame, read_file(tmp_path / name).frame)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it: the file is empty"),
        (b"ds,y\n", "it: the file has a header but no rows"),
        (b"ds,y\n2024-01-01,1\n\n2024-01-02\n", "it: line 4: expected 2 cells"),
        (b"ds,y\n\x8d,1\n", "it: expected text, got bytes that are invalid in Windows-1252"),
        (b'ds,"y\nz","y\nz"\n1,2,3\n', "it: line 1: expected a header with unique column names"),
    ],
)
def test_messages_name_what_is_in_memory(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        read_bytes(data, "it")


def test_only_the_line_ends_of_files_end_lines() -> None:
    # Unicode ends lines at a few signs more, within one line of a file.
    table = read_bytes("ds,a\x1cb,y\n2024-01-01,\x85,1\n".encode(), "it")
    assert table.columns == ["ds", "a\x1cb", "y"]


def test_a_missing_timestamp_among_texts_is_an_error() -> None:
    frame = pd.DataFrame({"ds": ["2024-01-01", None, "2024-01-03"], "y": [1, 2, 3]})
    with pytest.raises(DataError, match="row 1: column 'ds': expected a date"):
        load(frame, DataConfig(time="ds", target=("y",)))


TIMESTAMPS = pd.date_range("2020-01-01", periods=60)
VALUES = np.arange(60.0)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"ds": TIMESTAMPS.astype(str), "y": VALUES}, index=TIMESTAMPS.rename("ds")),
        pd.DataFrame({"ds": TIMESTAMPS, "y": VALUES}).set_index("ds", drop=False),
        pd.DataFrame({"y": VALUES}, index=TIMESTAMPS.astype(str)),
        pd.Series(VALUES, index=TIMESTAMPS.strftime("%d.%m.%Y")),
    ],
)
def test_timestamps_in_an_index(frame: pd.DataFrame) -> None:
    panel, schema = load(frame)
    assert (schema.freq, schema.targets) == ("D", ("y",)) and list(panel.times(0)) == list(TIMESTAMPS)


def test_series_and_timestamps_in_an_index_without_names() -> None:
    index = pd.MultiIndex.from_product([["a", "b"], TIMESTAMPS])
    panel, schema = load(pd.DataFrame({"y": np.arange(120.0)}, index=index))
    assert (panel.ids, schema.freq, panel.lengths.tolist()) == (("a", "b"), "D", [60, 60])
    assert load(pd.DataFrame({"y": np.arange(120.0)}, index=index.swaplevel()))[0].ids == ("a", "b")


def test_an_index_that_contradicts_a_column_is_an_error() -> None:
    frame = pd.DataFrame({"ds": TIMESTAMPS, "y": VALUES}, index=(TIMESTAMPS + pd.Timedelta("1D")).rename("ds"))
    with pytest.raises(DataError, match="expected the index and the column 'ds' to be equal"):
        load(frame)


def test_booleans_with_a_gap_stay_booleans(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ds": TIMESTAMPS, "y": VALUES, "promo": TIMESTAMPS.day % 7 == 0})
    config = DataConfig(past_covariates=("promo",))
    whole, schema = load(frame, config)
    gap = frame.astype({"promo": object})
    gap.loc[5, "promo"] = None
    gap.to_csv(tmp_path / "gap.csv", index=False)
    gap.to_parquet(tmp_path / "gap.parquet")
    for source in (gap, tmp_path / "gap.csv", tmp_path / "gap.parquet"):
        for panel, _ in (load(source, schema=schema), load(source, config)):
            assert panel.covariates is not None and whole.covariates is not None
            expected = whole.covariates.series.values.copy()
            expected[5] = np.nan
            np.testing.assert_array_equal(panel.covariates.series.values, expected)

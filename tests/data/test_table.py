"""Tables: names of rows in messages, and values that are computed once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsattn.config import DataConfig
from tsattn.data import columns, timestamps
from tsattn.data.files import read_bytes, read_file, read_source
from tsattn.data.loader import load
from tsattn.data.table import Origin, Table

TEXT = "ds,y\n\n2024-01-01,1\n2024-01-02,x\n"


def test_rows_are_named_as_in_their_source(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(TEXT)
    path = tmp_path / "b.csv"
    pd.DataFrame({"y": [1, 2]}).to_parquet(tmp_path / "c.parquet")
    assert str(read_file(path).error("wrong", names=["y"], row=1)) == f"{path}: line 4: column 'y': wrong"
    assert str(read_file(path)["y"].error("wrong", "fix {time}")) == f"{path}: column 'y': wrong: fix time="
    assert str(read_source(tmp_path / "*.csv").error("wrong", row=3)) == f"{tmp_path}/*.csv: {path}: line 4: wrong"
    assert read_file(tmp_path / "c.parquet").row_name(1) == "row 2"
    assert read_bytes(TEXT.encode(), "piped").row_name(1) == "line 3"
    frame = pd.DataFrame({"y": [1, 2]}, index=["a", "b"])
    assert Table(frame).row_name(1) == "row b" and Table(frame, Origin("x", "record")).row_name(0) == "record a"


def test_each_column_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(["a", "b", "c", "d"], 30),
            "ds": np.tile(pd.date_range("2024-01-01", periods=30), 4),
            "y": np.arange(120.0),
            "price": np.arange(120) % 7,
            "size": np.repeat([1.5, 1.5, 2.5, 2.5], 30),
        }
    )
    counts: Counter[tuple[str, object]] = Counter()

    def count(module: Any, name: str) -> None:
        function = getattr(module, name)

        def counted(column: Any, *args: Any) -> Any:
            counts[name, getattr(column, "name", None)] += 1
            return function(column, *args)

        monkeypatch.setattr(module, name, counted)

    count(columns, "parse_numbers")
    count(columns, "factorize")
    count(timestamps, "parse")
    _, schema = load(frame, DataConfig(past_covariates=("price",)))
    assert schema.static_covariates == ("size",)
    numbers = {("parse_numbers", name): 1 for name in ("y", "price", "size")}
    assert counts == {**numbers, ("factorize", "unique_id"): 1, ("parse", "ds"): 1}

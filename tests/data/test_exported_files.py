"""Files as banks, utilities, statistics offices, loggers and dashboards export them: read right, or refused by name."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data.exported_forms import FORMS_READ, FORMS_REFUSED, value

from tsattn.data.loader import load
from tsattn.errors import DataError, DataWarning


@pytest.mark.parametrize("case", FORMS_READ)
def test_files_that_are_read(case: str, tmp_path: Path) -> None:
    text, expected = FORMS_READ[case]
    path = tmp_path / "a.csv"
    path.write_text(text, encoding=expected.get("encoding", "utf-8"), newline="")
    panel, schema = load(path)
    times = pd.DatetimeIndex(panel.times(0)) if schema.freq != "1" else pd.DatetimeIndex([])
    warned = "; ".join(str(note.to_warning()) for note in schema.notes)
    settings = "; ".join(f"{setting.field} {setting.value}: {setting.reason}" for setting in schema.inferred_settings)
    for key, known in expected.items():
        if key in ("note", "setting"):
            assert known in {"note": warned, "setting": settings}[key]
        elif key == "ids":
            assert panel.ids[: len(known)] == known
        elif key in ("start", "end"):
            assert times[0 if key == "start" else -1] == pd.Timestamp(known)
        elif key not in ("encoding", "first", "offset", "changed"):
            assert getattr(schema, key) == known, (key, schema.notes)
    observed = panel.values[np.isfinite(panel.values[:, 0]), 0]
    values = [expected.get("offset", 0) + value(expected.get("first", 0) + row) for row in range(len(observed))]
    for row, cell in expected.get("changed", {}).items():
        values[row] = cell
    np.testing.assert_array_equal(observed, values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        np.testing.assert_array_equal(load(path, schema=schema)[0].values, panel.values)


@pytest.mark.parametrize("case", FORMS_REFUSED)
def test_files_that_are_refused(case: str, tmp_path: Path) -> None:
    text, parts = FORMS_REFUSED[case]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "a.csv")
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)

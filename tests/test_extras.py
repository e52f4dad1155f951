"""A missing extra is one clear line that says what to install."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import tsattn
from tsattn.data.datasets import fetch
from tsattn.errors import RunError, import_extra
from tsattn.export.formats import import_converter
from tsattn.scoring.window_forecaster import load_statsforecast
from tsattn.timeseries.calendar import holiday_days

USES: dict[tuple[str, str], Callable[[], Any]] = {
    ("tune", "optuna"): lambda: tsattn.tune,
    ("holidays", "holidays"): lambda: holiday_days("DE", 2020, 2021),
    ("datasets", "pooch"): lambda: fetch("etth1"),
    ("baselines", "statsforecast"): load_statsforecast,
    ("onnx", "tf2onnx"): lambda: import_converter("onnx"),
    ("openvino", "openvino"): lambda: import_converter("openvino"),
    ("litert", "ai_edge_litert"): lambda: import_converter("litert"),
    ("serve", "starlette"): lambda: import_extra("tsattn.serving.app", "serve", "serving"),
}


@pytest.mark.parametrize(("extra", "package"), USES)
def test_a_missing_extra_is_named(extra: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TSATTN_DATA_DIR", raising=False)
    for name in {"serving", "tuning"} & set(vars(tsattn)):
        # Importing the module again below replaces the attribute, which must be undone, too.
        monkeypatch.setattr(tsattn, name, getattr(tsattn, name))
    for name in list(sys.modules):
        if name.split(".")[0] == package or name.startswith(("tsattn.tuning", "tsattn.serving")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        RunError,
        match=rf"needs the package {package}\S*, which is not installed: run pip install "
        rf"'tsattn\[{extra}\]'",
    ) as caught:
        USES[extra, package]()
    assert "\n" not in str(caught.value)

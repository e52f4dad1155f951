"""Run directories without the files that take long to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def without_export() -> Iterator[None]:
    """Save runs with an empty folder in place of the exported model, and empty pictures."""

    def make_folder(
        fitted: object, folder: Path, *, name: str, after: int, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        folder.mkdir()
        meanwhile()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsattn.run_directory.export", make_folder)
        patch.setattr("tsattn.run_directory.write_forecast_plot", lambda history, forecast, path, **_: path.touch())
        patch.setattr("tsattn.report.html._to_svg", lambda *_: "<svg></svg>")
        yield

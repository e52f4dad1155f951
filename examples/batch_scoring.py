"""Forecast a folder of Parquet files with a fitted run, one file at a time.

    python examples/batch_scoring.py runs/sales histories forecasts

The run is loaded once. Each file of ``histories`` has whole series; its forecast is a file of the same name in
``forecasts``. Files that exist are skipped, so that an interrupted run continues.
"""

import sys
import warnings
from pathlib import Path

from tsattn import Forecaster

run, histories, forecasts = map(Path, sys.argv[1:])
forecaster = Forecaster.load(run)
forecasts.mkdir(exist_ok=True)
for path in sorted(histories.glob("*.parquet")):
    target = forecasts / path.name
    if target.exists():
        continue
    with warnings.catch_warnings(record=True) as notes:
        frame = forecaster.predict(path)
    partial = target.with_suffix(".part")
    frame.to_parquet(partial, index=False)
    partial.rename(target)
    print(f"{path.name}: {len(frame)} rows", *(str(note.message) for note in notes), sep="; ")

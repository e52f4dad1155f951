"""Compare the default with forecasters of other libraries: same data, same wall-clock budget, same two cores.

    TSATTN_DATA_DIR=... python -m benchmarks.side_by_side run
    TSATTN_DATA_DIR=... python -m benchmarks.side_by_side run --task m4-hourly --only NHITS --budget 120
    python -m benchmarks.side_by_side table

Each run is one process. Its clock starts with the process, so that importing libraries and preparing data count; all
models must be fitted within the budget. The process then writes its point forecasts, which are scored by the same code
for all contestants. The test part is read only after fitting. The result of each run is one JSON file in
``results/side_by_side``; runs with a result are skipped. ``results/side_by_side.md`` is generated from these files.

``contestants.py`` lists the contestants and their options. Peers, the contestants other than tsattn, run in a separate
virtual environment, which the first run creates from ``requirements.txt``.
"""

"""The default beside other people's forecasters: the same data, the same wall-clock budget, the same two cores.

    TSATTN_DATA_DIR=... python -m benchmarks.side_by_side run
    TSATTN_DATA_DIR=... python -m benchmarks.side_by_side run --task m4-hourly --only NHITS --budget 120
    python -m benchmarks.side_by_side table

A run is one process. Its clock starts with it, so that importing libraries and preparing data count; all must be fitted
when the budget is over. Then it writes its point forecasts, and one scorer makes the figures of all. The steps of the
test part are read behind the fitting alone. Each run is one JSON in ``results/side_by_side``; what is there already is
not run again. ``results/side_by_side.md`` is written from the JSONs.

``contestants.py`` says who takes part, and by which options. Those that are not tsattn run in a virtual environment of
their own, which the first run makes from ``requirements.txt``.
"""

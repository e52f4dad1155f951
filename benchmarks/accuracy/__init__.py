"""Accuracy of tsattn by published protocols, next to published figures and naive baselines.

    TSATTN_DATA_DIR=... python -m benchmarks.accuracy run --list
    TSATTN_DATA_DIR=... python -m benchmarks.accuracy run --stage validation --table etth1
    TSATTN_DATA_DIR=... python -m benchmarks.accuracy run --only etth1-96 --variant tsattn
    python -m benchmarks.accuracy table

``plan.toml`` lists the runs. Each run is one process, one training and one JSON file in ``results/accuracy``. Runs that
already have a result are skipped, so an interrupted benchmark can be continued. ``results/accuracy.md`` is generated
from the JSON files alone.

Nothing is selected on test data: ``--stage validation`` never reads a test part, and the test stage runs only the
variants that the plan marks ``chosen``.
"""

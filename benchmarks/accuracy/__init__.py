"""How accurate tsattn is, by published protocols, beside published and naive figures.

    TSATTN_DATA_DIR=... python -m benchmarks.accuracy run --list
    TSATTN_DATA_DIR=... python -m benchmarks.accuracy run --stage validation --table etth1
    TSATTN_DATA_DIR=... python -m benchmarks.accuracy run --only etth1-96 --variant tsattn
    python -m benchmarks.accuracy table

``plan.toml`` says what is run. A run is one process, one training and one JSON in ``results/accuracy``; what is there
already is not run again, so that a benchmark that was cut off goes on where it stopped. ``results/accuracy.md`` is
written from the JSONs alone.

Nothing is chosen on test data: ``--stage validation`` never reads a test part, and the test stage runs only what the
plan marks ``chosen``.
"""

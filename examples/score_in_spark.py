"""Forecast a table of Spark with a fitted run: each task forecasts whole series.

    python examples/score_in_spark.py runs/sales histories forecasts

Needs ``pip install 'tsattn[spark]'`` on driver and workers, and a run in a folder that all of them can read.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from tsattn.batch import FittedSource

run, histories, forecasts = sys.argv[1:]
source = FittedSource.read(Path(run))


def forecast(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Forecast the series of a task."""
    if rows := list(batches):
        yield from source.open()(pa.Table.from_batches(rows)).to_batches()


spark = SparkSession.builder.getOrCreate()
table = spark.read.parquet(histories)
series = table.repartition(*source.schema.id)
# The columns of the forecast: those for one of the series.
first = table.join(table.select(*source.schema.id).limit(1), list(source.schema.id)).toArrow()
columns = from_arrow_schema(next(forecast(iter(first.to_batches()))).schema)
series.mapInArrow(forecast, columns).write.parquet(forecasts)

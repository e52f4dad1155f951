"""Forecasts of panels that are larger than one process: whole series are the unit, files hold them and the forecasts.

`partitions` divides the files into parts of whole series, `forecasts` maps one part, an Arrow table, to its forecasts,
and `tsattn.engines` distributes the parts over processes of this machine or a Ray cluster.
"""

from tsattn.batch.forecasts import FittedSource, Source, ZeroShotSource, forecast_partitions
from tsattn.batch.partitions import Partition, divide_data

__all__ = [
    "FittedSource",
    "Partition",
    "Source",
    "ZeroShotSource",
    "divide_data",
    "forecast_partitions",
]

"""Metadata of an exported model, and requests to it that follow from them, without Keras.

The metadata describe its tensors, the schema of its data, what numbers the columns hold, and where it comes from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tsattn.config import BaseConfig
from tsattn.errors import RunError
from tsattn.timeseries.grid import remove_timezone
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import FUTURE_COVARIATES, LENGTH, PAST, PAST_COVARIATES, StaticInput

_MAX_VALUES = 6
"""Number of distinct values up to which a column is drawn from these."""
_MAX_DECIMALS = 4
_RANGE = (0.05, 0.95)

METADATA_FILE = "tsattn.json"
"""Name of the metadata file; in a SavedModel it is in ``assets.extra``."""

ASSETS = "assets.extra"
"""Folder of a SavedModel for files that are not part of the graph."""

WARMUP_FILE = "tf_serving_warmup_requests"
"""Name of the file in `ASSETS` with the requests that servers run before a version is available."""

LAST_TIME = "last_time"
"""Name of the tensor with the last timestamp of each history."""

SERVING = "serving_default"
"""Name of the signature for forecasts."""

FORMAT = 2
"""Format version, incremented by incompatible changes of the file."""

Tensors = dict[str, npt.NDArray[Any]]


class ColumnSample(BaseConfig):
    """The kind of numbers of a column.

    Args:
        low: Its 5 % quantile.
        high: Its 95 % quantile.
        decimals: Decimals of its numbers, at most 4.
        values: Its distinct values if they are few, else none.
        rates: Frequency of each of these.
    """

    low: float = 80.0
    high: float = 160.0
    decimals: int = 1
    values: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()

    @classmethod
    def of(cls, numbers: npt.NDArray[Any]) -> ColumnSample:
        """Return the kind of some numbers, NaN where missing."""
        known = np.asarray(numbers, dtype=np.float64)
        known = known[np.isfinite(known)]
        if not known.size:
            return cls()
        exact = (n for n in range(_MAX_DECIMALS) if np.allclose(known, np.round(known, n), rtol=1e-6, atol=0))
        decimals = next(exact, _MAX_DECIMALS)
        values, counts = np.unique(np.round(known, decimals), return_counts=True)
        low, high = np.quantile(known, _RANGE)
        few = len(values) <= _MAX_VALUES
        return cls(
            low=round(float(low), decimals),
            high=round(float(high), decimals),
            decimals=decimals,
            values=tuple(values.tolist()) if few else (),
            rates=tuple((counts / counts.sum()).tolist()) if few else (),
        )

    def draw(self, count: int, rng: np.random.Generator) -> list[float]:
        """Return numbers of this kind."""
        if self.values:
            return [float(value) for value in rng.choice(self.values, count, p=self.rates)]
        return [float(value) for value in np.round(rng.uniform(self.low, self.high, count), self.decimals)]


def sample_columns(panel: Panel, schema: Schema) -> dict[str, ColumnSample]:
    """Return the kind of each column of targets and of covariates with numbers."""
    samples = {name: ColumnSample.of(panel.values[:, index]) for index, name in enumerate(panel.targets)}
    if panel.covariates is not None:
        past = panel.covariates.series.slice(0, panel.lengths).values
        names = panel.covariates.names
        samples |= {name: ColumnSample.of(past[:, names.index(name)]) for name in schema.covariates if name in names}
    return samples | {static.name: ColumnSample.of(static.values) for static in panel.static if static.labels is None}


class _Format(BaseModel):
    format: int = 0


class StaticMetadata(BaseConfig):
    """One static covariate.

    Args:
        name: Name of the column.
        categories: Values of a category in the order of their indices, which start at 1; None for a number.
    """

    name: str
    categories: tuple[str, ...] | None = None


class TensorMetadata(BaseConfig):
    """One tensor of the graph.

    Args:
        dtype: "float32", "int32", "int64" or "string".
        shape: Size of each axis, or the name of a dynamic one.
        meaning: Description of the values.
    """

    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


class ModelMetadata(BaseConfig):
    """Everything that a client, a server or a user has to know about an exported model.

    Args:
        format: Format version of the metadata.
        name: Name of the model, by default the name of its run directory.
        model: Name of the architecture.
        context: Number of history steps that the model uses; longer histories are cropped to the last ones.
        horizon: Number of steps that it forecasts.
        season: Season length in steps; 1 without a season.
        frequency: pandas alias of a step, or an integer for integer timestamps.
        targets: Names along the last axis of ``past`` and ``forecast``.
        levels: Quantile levels along the last axis of ``quantiles``.
        past_covariates: Names along the last axis of the tensor; past values of future covariates come first.
        future_covariates: Names along the last axis of the tensor.
        static: Static covariates by the name of their tensor.
        distribution: Form of the forecast, as in ``model.head``.
        inputs: Input tensors of ``serving_default`` and ``attention`` by name.
        drawn: Additional input tensors of ``sample``, if the model has that signature.
        outputs: Output tensors of each signature by name.
        data_schema: How tables are read for the model; ``schema`` in the file, a name that pydantic reserves.
        versions: Versions of the packages that wrote it.
        training_data: Number, time range and fingerprint of the training series.
        calibration: Calibrated and uncalibrated levels, the number of windows, and a summary.
        validation: Metrics of the model and of the naive baselines on the validation part, one row per model.
        column_samples: Kind of the numbers of each column of the training data, from which examples are made.
        agreement: Difference between the written graph and the Python model, see `tsattn.export.verification`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), populate_by_name=True)

    format: int = FORMAT
    name: str
    model: str
    context: int
    horizon: int
    season: int
    frequency: str
    targets: tuple[str, ...]
    levels: tuple[float, ...]
    past_covariates: tuple[str, ...] = ()
    future_covariates: tuple[str, ...] = ()
    static: dict[str, StaticMetadata] = Field({})
    distribution: str = "quantiles"
    inputs: dict[str, TensorMetadata]
    drawn: dict[str, TensorMetadata] = Field({})
    outputs: dict[str, dict[str, TensorMetadata]]
    data_schema: Schema = Field(alias="schema")
    versions: dict[str, str] = Field({})
    training_data: dict[str, Any] = Field({})
    calibration: dict[str, Any] = Field({})
    validation: tuple[dict[str, Any], ...] = ()
    column_samples: dict[str, ColumnSample] = Field({})
    agreement: dict[str, Any] | None = None

    def with_agreement(self, agreement: dict[str, Any]) -> Self:
        """Return the metadata with the result of the verification."""
        return self.model_copy(update={"agreement": agreement})

    def with_fixed_shape(self, batch: int, time: int) -> Self:
        """Return the metadata of a graph with a fixed shape."""
        sizes: dict[int | str, int] = {"batch": batch, "time": time}

        def fixed(part: TensorMetadata) -> TensorMetadata:
            return part.model_copy(update={"shape": tuple(sizes.get(axis, axis) for axis in part.shape)})

        outputs = {key: {name: fixed(part) for name, part in parts.items()} for key, parts in self.outputs.items()}
        inputs = {name: fixed(part) for name, part in self.inputs.items()}
        return self.model_copy(update={"inputs": inputs, "outputs": outputs})

    @property
    def needs_last_time(self) -> bool:
        """Whether the graph computes the calendar features from `LAST_TIME`."""
        return LAST_TIME in self.inputs

    def to_json(self) -> str:
        """Return the content of the metadata file."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a metadata file.

        Raises:
            RunError: It is missing or not valid.
        """
        try:
            text = path.read_text(encoding="utf-8")
            number = _Format.model_validate_json(text).format
            if number != FORMAT:
                raise RunError(f"{path}: expected format {FORMAT}, got {number}", "export the model again")
            return cls.model_validate_json(text)
        except (OSError, UnicodeDecodeError):
            raise RunError(f"{path}: expected the metadata of an exported model, but the file cannot be read") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise RunError(f"{path}: expected the metadata of an exported model: {where}: {first['msg']}") from None


def make_request(
    panel: Panel, metadata: ModelMetadata, series: Ints | None = None, origin: Ints | None = None
) -> Tensors:
    """Return the input tensors of a request, with one row per series of a panel.

    Args:
        panel: The series, read with the schema of the metadata, with future covariates after the history.
        metadata: Metadata of the exported model.
        series: Index of the series of each row, int64 [rows]; all series by default.
        origin: Number of history steps of each row, int64 [rows]; later steps are the future. All steps by default.

    Returns:
        The inputs by name, as in `tsattn.export.formats.write_saved_model`; categories are ``str`` objects.
    """
    series = np.arange(len(panel), dtype=np.int64) if series is None else series
    origin = panel.lengths[series] if origin is None else origin
    length = np.minimum(origin, metadata.context)
    time = max(int(length.max(initial=0)), 1)
    tensors: Tensors = {
        PAST: panel.series.gather(series, origin - length, length, time),
        LENGTH: length.astype(np.int32),
    }
    covariates = panel.covariates
    if metadata.past_covariates:
        assert covariates is not None
        names = metadata.past_covariates
        tensors[PAST_COVARIATES] = covariates.gather(names, series, origin - length, length, time)
    if metadata.future_covariates:
        assert covariates is not None
        steps = np.full_like(origin, metadata.horizon)
        tensors[FUTURE_COVARIATES] = covariates.gather(
            metadata.future_covariates, series, origin, steps, metadata.horizon
        )
    if metadata.needs_last_time:
        tensors[LAST_TIME] = last_timestamps(panel, series, origin)
    for name, static in metadata.static.items():
        is_text = metadata.inputs[name].dtype == "string"
        tensors[name] = _static(panel, StaticInput(static.name, name, static.categories), series, is_text)
    return tensors


def last_timestamps(panel: Panel, series: Ints, origin: Ints) -> Ints:
    """Return the last timestamp before each origin, int64 [rows], in seconds of local time since 1970-01-01."""
    times = remove_timezone(panel.grid.to_index(panel.grid.times(panel.starts[series] + origin - 1)))
    return np.asarray(pd.DatetimeIndex(times).as_unit("s").asi8, dtype=np.int64)


def _static(panel: Panel, static: StaticInput, series: Ints, is_text: bool) -> npt.NDArray[Any]:
    """Return a static covariate as the graph takes it; an unknown category is "" as text."""
    if not is_text:
        return static.gather(panel, series)
    labels = next(covariate.labels for covariate in panel.static if covariate.name == static.name)
    codes = next(covariate.values for covariate in panel.static if covariate.name == static.name)
    return np.append(np.array(labels, dtype=object), "")[codes[series]]

"""Metadata of an exported model: its tensors, the schema of its data, and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tsattn.config import BaseConfig
from tsattn.errors import RunError
from tsattn.export.column_samples import ColumnSample
from tsattn.timeseries.schema import Schema

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

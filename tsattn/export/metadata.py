"""What an exported model says of itself: what its tensors hold, how data are read for it, where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tsattn.config import Options
from tsattn.errors import RunError
from tsattn.timeseries.schema import Schema

DESCRIPTION = "tsattn.json"
"""Name of the file; in a SavedModel it lies in ``assets.extra``."""

ASSETS = "assets.extra"
"""Folder of a SavedModel for what is no part of the graph."""

WARMUP = "tf_serving_warmup_requests"
"""Name of the file in it with requests that TensorFlow Serving, and our own server, run first."""

LAST_TIME = "last_time"
"""Name of the tensor with the last stamp of each history."""

FORMAT = 1
"""Raised when the file can no longer be read by what came before."""


class _Format(BaseModel):
    format: int = 0


class StaticDescription(Options):
    """One static covariate.

    Args:
        name: its column.
        categories: its values where it is a category, in the order of their numbers, which begin with 1; else None.
    """

    name: str
    categories: tuple[str, ...] | None = None


class TensorDescription(Options):
    """One tensor of the graph.

    Args:
        dtype: "float32", "int32", "int64" or "string".
        shape: its axes: sizes, and names of those that are free.
        meaning: what stands in it.
    """

    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


class Description(Options):
    """Everything that a client, a server or a person has to know of an exported model.

    Args:
        format: of this description.
        name: what the model is called, by default its run directory.
        model: name of the architecture.
        context: steps of history that it sees; of a longer one it takes the last.
        horizon: steps that it forecasts.
        season: season length in steps; 1 where there is none.
        frequency: pandas alias of a step, or a whole number where stamps are integers.
        targets: names along the last axis of ``past`` and ``forecast``.
        levels: quantile levels, the last axis of ``quantiles``.
        past_covariates: names along the last axis of the tensor, those known ahead first.
        future_covariates: names along the last axis of the tensor.
        static: static covariates by the name of their tensor.
        distribution: what is forecast, as ``model.head`` names it.
        inputs: the tensors of ``serving_default`` and ``attention`` by name.
        drawn: those that ``sample`` takes besides, where the export has that signature.
        outputs: what each signature gives, by its name.
        schema: how a file or frame is read for it. In Python it is ``reading``, for pydantic has a ``schema`` itself.
        versions: of the packages that wrote it.
        training_data: number and stamps of the series that it was trained on, and their fingerprint.
        calibration: the levels that were calibrated, those that were not, on how many windows, and a sentence of it.
        validation: the model beside the naive baselines on the validation part, a row a model.
        agreement: how far the written graph is from the model in Python, see `tsattn.export.agreement`.
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
    static: dict[str, StaticDescription] = Field({})
    distribution: str = "quantiles"
    inputs: dict[str, TensorDescription]
    drawn: dict[str, TensorDescription] = Field({})
    outputs: dict[str, dict[str, TensorDescription]]
    reading: Schema = Field(alias="schema")
    versions: dict[str, str] = Field({})
    training_data: dict[str, Any] = Field({})
    calibration: dict[str, Any] = Field({})
    validation: tuple[dict[str, Any], ...] = ()
    agreement: dict[str, Any] | None = None

    def agreed(self, found: dict[str, Any]) -> Self:
        """Return the description of a model that was compared with the one in Python."""
        return self.model_copy(update={"agreement": found})

    def of_shape(self, batch: int, time: int) -> Self:
        """Return the description of a graph that takes one shape alone."""
        sizes: dict[int | str, int] = {"batch": batch, "time": time}

        def fixed(part: TensorDescription) -> TensorDescription:
            return part.model_copy(update={"shape": tuple(sizes.get(axis, axis) for axis in part.shape)})

        outputs = {key: {name: fixed(part) for name, part in parts.items()} for key, parts in self.outputs.items()}
        inputs = {name: fixed(part) for name, part in self.inputs.items()}
        return self.model_copy(update={"inputs": inputs, "outputs": outputs})

    @property
    def needs_last_time(self) -> bool:
        """Whether the graph makes the features of the calendar by itself, from `LAST_TIME`."""
        return LAST_TIME in self.inputs

    def to_json(self) -> str:
        """Return the text that `read` reads."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read tsattn.json.

        Raises:
            RunError: it is missing, or it is no such description.
        """
        try:
            text = path.read_text(encoding="utf-8")
            number = _Format.model_validate_json(text).format
            if number != FORMAT:
                raise RunError(f"{path}: has format {number}, and this tsattn reads {FORMAT}: export the model again")
            return cls.model_validate_json(text)
        except (OSError, UnicodeDecodeError):
            raise RunError(f"{path}: expected the description of an exported model, but it cannot be read") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the text"
            raise RunError(f"{path}: expected the description of an exported model: {where}: {first['msg']}") from None

"""What was decided in a run directory: read without its model, and so without Keras."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tsattn.config import RunConfig
from tsattn.errors import RunError
from tsattn.models import MODELS, all_models
from tsattn.timeseries.schema import Schema

FORMAT = 3
"""Raised when a directory can no longer be read by what came before."""

DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, zipfile.BadZipFile)
"""What readers raise of files that are cut, changed or those of another run."""


@dataclass(frozen=True)
class Decided:
    """What was decided in a run.

    Args:
        path: the run directory.
        written: what `run.json` holds.
        config: the configuration with nothing left open.
        schema: how the data were read.
    """

    path: Path
    written: dict[str, Any]
    config: RunConfig
    schema: Schema

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it from a run directory.

        Raises:
            RunError: it is missing or incomplete, of another format, or its model is not registered.
        """
        written = _read_written(path)
        try:
            config = RunConfig.read(path / "config.toml")
            data = config.data
            schema = Schema.read(path / "schema.json")
            schema = schema.model_copy(update={"horizon": data.horizon or 1, "season": data.season or 1})
        except DAMAGE as error:
            raise damaged(path, error) from None
        name = str(config.model.get("name"))
        if name not in MODELS and name not in all_models():
            module = written.get("model_module")
            whose = f", which the module {module} registers: import it first, by --import {module}" if module else ""
            raise RunError(f"{path}: has the model '{name}'{whose or ', and there is no such model'}")
        return cls(path, written, config, schema)


def damaged(path: Path, error: Exception) -> RunError:
    """Return what to raise of a run directory whose files cannot be read."""
    return RunError(f"{path}: expected a whole run directory, but it is damaged: {error}")


def _read_written(path: Path) -> dict[str, Any]:
    try:
        written: dict[str, Any] = json.loads((path / "run.json").read_text(encoding="utf-8"))
        number = written["format"]
    except DAMAGE:
        raise RunError(f"{path}: expected a run directory, as `tsattn fit` writes it") from None
    if number < FORMAT:
        raise RunError(f"{path}: has format {number}, and this tsattn reads {FORMAT}: fit again with its config.toml")
    if number > FORMAT:
        raise RunError(f"{path}: has format {number}, and this tsattn reads up to {FORMAT}: install a newer tsattn")
    return written

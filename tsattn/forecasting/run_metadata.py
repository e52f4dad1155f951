"""Metadata of a run directory, read without its model and therefore without Keras."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tsattn.atomic_io import READ_ERRORS, check_files, repair_directory
from tsattn.config import RunConfig
from tsattn.errors import RunError
from tsattn.models import MODELS, all_models
from tsattn.timeseries.schema import Schema

FORMAT = 4
"""Format number of run directories, see `tsattn.run_directory`; increased by changes that older readers cannot read."""


@dataclass(frozen=True)
class RunMetadata:
    """Configuration and schema of a run.

    Args:
        path: The run directory.
        manifest: Contents of ``run.json``.
        config: The configuration with every option filled in.
        schema: How the data were read.
    """

    path: Path
    manifest: dict[str, Any]
    config: RunConfig
    schema: Schema

    @classmethod
    def read(cls, path: Path, *, verify: bool = True) -> Self:
        """Read the metadata of a run directory.

        Args:
            path: The run directory.
            verify: Whether to check that no file was changed after it was written.

        Raises:
            RunError: The directory is missing, incomplete, changed or of another format, or its model is not
                registered.
        """
        repair_directory(path)
        manifest = _read_manifest(path)
        if verify:
            check_files(path, manifest.get("files", {}))
        try:
            config = RunConfig.read(path / "config.toml")
            schema = Schema.read(path / "schema.json")
        except READ_ERRORS as error:
            raise damaged_run_error(path, error) from None
        sizes = {"horizon": config.data.horizon or 1, "season": config.data.season or 1}
        name = str(config.model.get("name"))
        if name not in MODELS and name not in all_models():
            module = manifest.get("model_module")
            if not module:
                raise RunError(f"{path}: model '{name}' does not exist")
            raise RunError(
                f"{path}: model '{name}' is not registered; module {module} registers it", f"import {module} first"
            )
        return cls(path, manifest, config, schema.model_copy(update=sizes))


def damaged_run_error(path: Path, error: Exception) -> RunError:
    """Return the error for a run directory whose files cannot be read."""
    return RunError(f"{path}: expected a whole run directory, but it is damaged: {error}")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((path / "run.json").read_text(encoding="utf-8"))
        number = manifest["format"]
        files = manifest.get("files", {})
        if not isinstance(number, int) or not all(isinstance(part, str) for item in files.items() for part in item):
            raise TypeError("wrong types")
    except READ_ERRORS:
        if (path / "run.json").is_file():
            raise RunError(
                f"{path / 'run.json'}: expected a file as `tsattn fit` writes it, but it is damaged"
            ) from None
        raise RunError(f"{path}: expected a run directory, as `tsattn fit` writes it") from None
    if number < FORMAT:
        raise RunError(
            f"{path}: has format {number}, and this tsattn reads format {FORMAT}", "fit again with its config.toml"
        )
    if number > FORMAT:
        raise RunError(
            f"{path}: has format {number}, and this tsattn reads formats up to {FORMAT}", "install a newer tsattn"
        )
    return manifest

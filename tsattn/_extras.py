"""Imports of packages that only an extra installs."""

from __future__ import annotations

import importlib
from typing import Any

from tsattn.errors import RunError


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import a module that belongs to an extra.

    Args:
        module: Name of the module.
        extra: The extra of tsattn that installs it.
        purpose: What needs it, for the error.

    Raises:
        RunError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if missing.partition(".")[0] == "tsattn":
            raise
        raise RunError(
            f"{purpose} needs the package {missing}, which is not installed", f"run pip install 'tsattn[{extra}]'"
        ) from None

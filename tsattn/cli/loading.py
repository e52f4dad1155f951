"""Imports and files that take seconds to load."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsattn.forecaster import Forecaster

_logger = logging.getLogger(__name__)


def load_tensorflow() -> None:
    """Import TensorFlow, through Keras, unless another backend is configured."""
    _logger.info("Loading TensorFlow")
    import keras  # noqa: F401


def load_forecaster(run: Path, *, verify: bool) -> Forecaster:
    """Return the forecaster of a run directory.

    Raises:
        RunError: It is missing, incomplete or changed.
    """
    load_tensorflow()
    from tsattn.forecaster import Forecaster

    _logger.info("Loading %s", run)
    return Forecaster.load(run, verify=verify)

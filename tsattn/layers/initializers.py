"""Initializers of weights."""

from __future__ import annotations

from typing import Any


def fresh(initializer: Any) -> Any:
    """Return an initializer for one more weight: a Keras initializer without a seed gives the same numbers twice.

    A plain function draws as it likes.
    """
    return initializer.clone() if hasattr(initializer, "clone") else initializer

"""The OpenAPI document of a server and its model."""

from __future__ import annotations

from typing import Any

from tsattn.serving.engine import Engine


def document(engine: Engine) -> dict[str, Any]:
    """Return the document."""
    return {"openapi": "3.1.0", "info": {"title": engine.name, "version": "1"}, "paths": {}}

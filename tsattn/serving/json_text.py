"""JSON as TensorFlow Serving reads and writes it: NaN and Infinity are numbers."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from tsattn.serving.errors import bad_request, shown

_NON_FINITE = re.compile(r'("(?:[^"\\]|\\.)*+(?:"|\\?\Z))|\bInf\b', re.DOTALL)
"""Texts, also one that does not end, so that each sign is looked at once; and what `json` does not know."""

_LONGEST = 2**20
"""Letters up to which such numbers are looked for."""


def read_json(body: bytes) -> Any:
    """Return what a body says.

    Raises:
        ServingError: it is no JSON, is nested too deeply, or an object has a key twice.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"expected a body of JSON in UTF-8, got other bytes at {error.start}") from None
    try:
        return _read(text)
    except json.JSONDecodeError as error:
        if len(text) <= _LONGEST and "Inf" in text:
            # TensorFlow Serving takes the short form too.
            mended = _NON_FINITE.sub(lambda found: found[1] or "Infinity", text)
            if mended != text:
                return read_json(mended.encode())
        where = f"line {error.lineno}, column {error.colno}"
        raise bad_request(f"expected a body of JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise bad_request("expected a body of JSON, got one that is nested too deeply") from None
    except ValueError:
        raise bad_request("expected a body of JSON, got a number of too many digits") from None


def write_json(value: Any) -> bytes:
    """Return the text of a value; NaN and Infinity are written as such."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose keys are all different: which of two was meant nobody knows."""
    made = dict(pairs)
    if len(made) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise bad_request(f"expected each key of an object once, got {shown(twice)} twice")
    return made


_read = json.JSONDecoder(object_pairs_hook=_once).decode

"""What a model was trained on, in a few figures that another data set would not have."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.data.panel import Panel
from tsattn.data.place import shown


def summary(panel: Panel) -> dict[str, Any]:
    """Return number, steps and first and last stamp of the series, and a hash of all that is known of them."""
    last = panel.starts + panel.lengths - 1
    return {
        "fingerprint": fingerprint(panel),
        "series": len(panel),
        "steps": int(panel.lengths.sum()),
        "observed": panel.observed,
        "first": shown(panel.grid.at([int(panel.starts.min())])[0]),
        "last": shown(panel.grid.at([int(last.max())])[0]),
    }


def fingerprint(panel: Panel) -> str:
    """Return the SHA-256 of ids, stamps, targets and covariates; the same for the same series in the same order."""
    digest = hashlib.sha256()
    texts = [*panel.targets, panel.grid.freq, str(panel.grid.origin), str(panel.grid.tz), *panel.ids]
    arrays: list[npt.NDArray[Any]] = [panel.offsets, panel.starts, panel.values]
    if panel.covariates is not None:
        texts += panel.covariates.names
        arrays += [panel.covariates.offsets, panel.covariates.values]
    for static in panel.static:
        texts += [static.name, *(static.labels or ())]
        arrays.append(static.values)
    digest.update("\0".join(texts).encode())
    for array in arrays:
        # Little-endian everywhere, and one NaN.
        plain = np.where(np.isnan(array), np.float32(np.nan), array) if array.dtype.kind == "f" else array
        digest.update(np.ascontiguousarray(plain, dtype=array.dtype.newbyteorder("<")).data)
    return f"sha256:{digest.hexdigest()}"

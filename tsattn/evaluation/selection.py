"""Which metrics a table shows."""

from __future__ import annotations

from collections.abc import Iterable


def selection(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the metrics that a table shows by default, out of those that it has.

    Args:
        columns: those of a table of scores; of coverages the first one counts, which is that of the widest interval.
    """
    names = list(columns)
    coverage = [name for name in names if name.startswith("coverage-")][:1]
    return tuple(name for name in ("mase", "skill", "smape", "mae", "rmse", "wql", *coverage) if name in names)

"""A small plan of the accuracy benchmark."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.plan import Plan


def example_plan(**variant: Any) -> Plan:
    """Return a plan of one table: a naive baseline, the default, and one variant."""
    variants = ({"name": "default", "chosen": True}, {"name": "small", "settings": ["model.units=8"], **variant})
    shown = {"name": "etth1", "title": "ETTh1", "tasks": ["etth1-96", "etth1-192"], "variants": variants}
    return Plan.model_validate({"seeds": [0, 1], "table": [{**shown, "baselines": ["seasonal_naive"]}]})

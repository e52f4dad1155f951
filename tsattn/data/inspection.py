"""Description of how data are read, as JSON for other programs: the result of ``tsattn inspect --json``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsattn.data.table import Table
from tsattn.timeseries.panel import Panel, summarize_panel
from tsattn.timeseries.schema import Schema

_ROLES = {
    "time": "time",
    "id": "id",
    "targets": "targets",
    "future covariates": "future_covariates",
    "past covariates": "past_covariates",
    "static covariates": "static_covariates",
}


def describe(table: Table, panel: Panel, schema: Schema) -> dict[str, Any]:
    """Return how a table was read.

    Args:
        table: The table.
        panel: Its series.
        schema: How they were read.
    """
    settings = {setting.field: setting for setting in schema.inferred_settings}
    roles: dict[str, Any] = {}
    for field, key in _ROLES.items():
        setting = settings.get(field)
        roles[key] = {
            "columns": list(getattr(schema, key)),
            "given": setting is not None and setting.given,
            "reason": setting.reason if setting else "",
        }
    named = {name for role in roles.values() for name in role["columns"]}
    counts = {key: value for key, value in summarize_panel(panel).items() if key != "fingerprint"}
    return {
        "source": table.name,
        "layout": schema.layout,
        "dialect": {"encoding": table.origin.encoding, **table.origin.dialect},
        "roles": roles,
        "left_out": [name for name in table.columns if name not in named] if schema.layout in ("long", "wide") else [],
        "time_format": schema.time_format,
        "categories": {name: list(values) for name, values in schema.categories.items()},
        "frequency": {"freq": schema.freq, "time_zone": schema.tz, "season": schema.season, "horizon": schema.horizon},
        "aggregation": {name: getattr(schema, name) for name in ("on_duplicate", "resample", "fill_missing")},
        "counts": {"rows": len(table), **counts, "missing": int(np.isnan(panel.values).sum())},
        "settings": [setting.model_dump() for setting in schema.inferred_settings],
    }

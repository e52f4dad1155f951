"""The data room: files and frames become series on a regular time grid, and forecasts become frames."""

from tsattn.data.frame import WIDE_ID, to_panel
from tsattn.data.frequency import Grid, season_of
from tsattn.data.infer import infer_schema
from tsattn.data.load import Frame, load
from tsattn.data.long import forecast_frame, history_frame, series_names
from tsattn.data.panel import Panel
from tsattn.data.read import read_frame
from tsattn.data.relations import as_nodes, as_series, read_adjacency
from tsattn.data.schema import Decision, Schema
from tsattn.data.season import default_horizon, detect_season

__all__ = [
    "WIDE_ID",
    "Decision",
    "Frame",
    "Grid",
    "Panel",
    "Schema",
    "as_nodes",
    "as_series",
    "default_horizon",
    "detect_season",
    "forecast_frame",
    "history_frame",
    "infer_schema",
    "load",
    "read_adjacency",
    "read_frame",
    "season_of",
    "series_names",
    "to_panel",
]

"""Read files and frames as series on a regular time grid."""

from tsattn.data.adjacency import as_nodes, as_series, read_adjacency
from tsattn.data.files import read_frame
from tsattn.data.inference import infer_schema
from tsattn.data.loader import Frame, load
from tsattn.data.panel_builder import to_panel

__all__ = ["Frame", "as_nodes", "as_series", "infer_schema", "load", "read_adjacency", "read_frame", "to_panel"]

"""Read files, DataFrames and arrays as series on a regular time grid."""

from tsattn.data.adjacency import as_nodes, as_series, read_adjacency
from tsattn.data.files import read_file
from tsattn.data.loader import Frame, load, load_table
from tsattn.data.panel_builder import to_panel
from tsattn.data.table import Table

__all__ = ["Frame", "Table", "as_nodes", "as_series", "load", "load_table", "read_adjacency", "read_file", "to_panel"]

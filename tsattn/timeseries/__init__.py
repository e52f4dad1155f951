"""Value types of time series: grids, panels, schemas and windows; NumPy and pandas only."""

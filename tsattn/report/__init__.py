"""Plots of forecasts and the HTML report of a run."""

"""Forecasting: fit one model, store it and predict with it."""

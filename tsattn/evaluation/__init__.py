"""Evaluation: backtests, evaluation on new data and selection of a model."""

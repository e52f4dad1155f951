"""Scoring: metrics, baselines, calibration and the choice of a model."""

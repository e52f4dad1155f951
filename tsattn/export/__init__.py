"""Trained forecasters in forms that other programs run."""

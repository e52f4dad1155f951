"""Forecasts without training: a softmax-weighted combination of exponential smoothings with fixed parameters.

Every function of the arithmetic takes the array namespace as its first argument, NumPy or `keras.ops`. Nothing here
imports Keras or TensorFlow.
"""

from tsattn.smoothing.candidates import Candidate, candidates
from tsattn.smoothing.combination import Combination, candidate_kinds, combine, weights_by_kind
from tsattn.smoothing.forecasts import SmoothingForecast, forecast_series
from tsattn.smoothing.intervals import quantiles
from tsattn.smoothing.kernels import Kernels, SmoothingSpec, default_window, smoothing_kernels

__all__ = [
    "Candidate",
    "Combination",
    "Kernels",
    "SmoothingForecast",
    "SmoothingSpec",
    "candidate_kinds",
    "candidates",
    "combine",
    "default_window",
    "forecast_series",
    "quantiles",
    "smoothing_kernels",
    "weights_by_kind",
]

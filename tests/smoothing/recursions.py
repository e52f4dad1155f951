"""Independent recursions of the smoothings, step by step in plain Python, to compare the filters with."""

from __future__ import annotations

import numpy as np

from tsattn.smoothing import Candidate


def smooth(values, candidate: Candidate, seasons, level, trend, patterns, horizon):
    """Return one-step forecasts and, after each value, forecasts 1 to ``horizon``, by the recursion of the model.

    Args:
        values: All values of one series.
        candidate: The smoothing; its line is ignored.
        seasons: Season lengths.
        level: Level before the first value.
        trend: Trend before the first value.
        patterns: Initial seasonal states, one per season.
        horizon: Steps to forecast.
    """
    phases = [list(pattern) for pattern in patterns]
    one_step, ahead = [], []
    for time, value in enumerate(values):
        base = level + candidate.damping * trend
        forecast = base + sum(phase[time % season] for phase, season in zip(phases, seasons, strict=True))
        error = value - forecast
        level = base + candidate.level * error
        trend = candidate.damping * trend + candidate.trend * error
        for phase, season, weight in zip(phases, seasons, candidate.seasonal, strict=True):
            phase[time % season] += weight * error
        one_step.append(forecast)
        row, step_level, step_trend = [], level, trend
        for step in range(1, horizon + 1):
            step_trend = candidate.damping * step_trend
            step_level += step_trend
            row.append(step_level + sum(p[(time + step) % s] for p, s in zip(phases, seasons, strict=True)))
        ahead.append(row)
    return np.array(one_step), np.array(ahead)


def least_squares_slope(values) -> float:
    """Return the slope of the least-squares line."""
    return float(np.polyfit(np.arange(len(values)), values, 1)[0]) if len(values) > 1 else 0.0


def initial_states(values, season):
    """Return level, trend and seasonal pattern of the first observations, as the package defines them."""
    values = np.asarray(values, dtype=float)
    if season == 1:
        return values[:2].mean(), least_squares_slope(values[:4]), np.zeros(1)
    first, second = values[:season], values[season : 2 * season]
    trend = (second - first).mean() / season
    detrended = values[: 2 * season] - trend * np.arange(2 * season)
    pattern = (detrended - detrended.mean()).reshape(2, season).mean(0)
    return first.mean(), trend, pattern - pattern.mean()


def expected_forecasts(values, candidate: Candidate, season, horizon):
    """Return the forecasts after each value by the recursion, with the line removed before and added after it."""
    values = np.asarray(values, dtype=float)
    level, trend, pattern = initial_states(values, season)
    seasons = () if season == 1 else (season,)
    pattern = pattern if candidate.pattern >= 0 else np.zeros(season)
    patterns = () if season == 1 else (pattern,)
    start = (season + 1) / 2 if season > 1 else 1.5
    if candidate.line == "initial":
        # The recursion starts before the first value: the level lies `start` steps of the trend below the mean.
        return smooth(values, candidate, seasons, level - trend * start, trend, patterns, horizon)[1]
    rows = []
    deseasonalised = values - (pattern_of(values, season)[: len(values)] if season > 1 else 0)
    for count in range(1, len(values) + 1):
        slope = {
            "none": lambda seen: 0.0,
            "least squares": least_squares_slope,
            "drift": lambda seen: (seen[-1] - seen[0]) / max(len(seen) - 1, 1),
        }[candidate.line](deseasonalised[:count])
        line = candidate.fraction * slope * (np.arange(1, count + horizon + 1) - start)
        ahead = smooth(values[:count] - line[:count], candidate, seasons, level, 0.0, patterns, horizon)[1]
        rows.append(ahead[-1] + line[count:])
    return np.array(rows)


def pattern_of(values, season):
    """Return the initial seasonal pattern, repeated over the values."""
    return np.resize(initial_states(values, season)[2], len(values))


def croston(values, smoothing):
    """Return the forecast of Croston's method with weighted means of sizes and intervals in place of initial values."""
    size = interval = weight = 0.0
    since = 0
    for value in values:
        since += 1
        if value > 0:
            keep = 1 - smoothing
            size, interval, weight = keep * size + value, keep * interval + since, keep * weight + 1
            since = 0
    return size / interval
